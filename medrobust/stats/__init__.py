"""Intervals and tests, clustered by patient."""
