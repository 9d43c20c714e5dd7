"""Robustness benchmarks for medical imaging."""
