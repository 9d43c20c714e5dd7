"""False-negative adversarial features: small real abnormalities that a reconstruction erases."""
