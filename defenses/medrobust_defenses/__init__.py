"""The built-in defenses."""
