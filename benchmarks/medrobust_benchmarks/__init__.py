"""The benchmark specs, as package data."""
