"""How CT slices are shown. Apart from what needs PyTorch, so that pages are drawn without it."""

from __future__ import annotations

WINDOW = (-160.0, 240.0)
"""Hounsfield units shown as black and as white: the usual window of the soft tissue of an abdomen."""

STRIDE = 4
"""Of a field every fourth row and column are kept."""
