"""The command line: one module a verb."""

from medrobust.cli.app import main

__all__ = ["main"]
