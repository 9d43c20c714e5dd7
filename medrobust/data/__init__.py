"""Data sets, each a frozen dataclass."""
