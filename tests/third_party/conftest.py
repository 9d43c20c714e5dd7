"""Distributions of their own, tested where they are installed: tests/packaging."""

collect_ignore_glob = ["*"]
