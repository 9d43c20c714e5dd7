"""What the deformation and intensity attack is compared with at equal perceptibility: signed gradients, a bias field, random smooth change."""
