"""Norm-bounded attacks of the Adversarial Robustness Toolbox (ART); the only package that imports it."""
