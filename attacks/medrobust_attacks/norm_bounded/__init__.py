"""Attacks within a norm, of images of any shape and of every task."""
