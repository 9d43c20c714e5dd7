"""Training: one loop, resumable, on CPU or GPU."""
