"""Perturbations that a network learns to make: over a whole volume, or within one superpixel."""
