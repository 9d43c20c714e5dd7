"""Malignant features injected into mammograms and removed from them, by generators that were trained without any target."""
