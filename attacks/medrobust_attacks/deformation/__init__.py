"""Slices whose anatomy is moved and whose intensity drifts, so that a segmenter fails."""
