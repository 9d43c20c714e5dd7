"""Shipped weights: one folder a model, card.yaml and weights.safetensors."""
