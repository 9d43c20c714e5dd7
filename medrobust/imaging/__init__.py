"""Numerics shared by data, targets and plugins."""
