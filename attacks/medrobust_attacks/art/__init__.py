"""Norm-bounded attacks of the Adversarial Robustness Toolbox (ART)."""
