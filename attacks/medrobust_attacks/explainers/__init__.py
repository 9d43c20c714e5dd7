"""Explainers: where a classifier looks."""
