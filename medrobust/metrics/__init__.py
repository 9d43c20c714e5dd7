"""Metrics, one value a case or group."""
