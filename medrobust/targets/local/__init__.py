"""Exact passes at a fraction of their cost, for volumes that differ from one clean volume in a small box each."""
