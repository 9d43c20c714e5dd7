"""What the shipped tumour classifier answers where parts of the phantoms are blanked: the figures that docs/roi.md quotes. A minute on one core."""

from __future__ import annotations

import numpy as np
import torch

from medrobust.data.brats_file import read_subject
from medrobust.data.glioma_phantom import GliomaPhantom
from medrobust.imaging.glioma import ENHANCING, NECROSIS
from medrobust.imaging.volumes import centre_cube
from medrobust.targets import zoo

KEPT = ("whole volume", "tumour blanked", "core blanked", "oedema blanked", "tumour alone")


def main() -> None:
    """Mean probability of a high grade by grade, and how much of a high-grade tumour its core is."""
    data, target = GliomaPhantom(), zoo.load("roi-resnet")
    answers: dict[int, list[list[float]]] = {0: [], 1: []}
    shares = []
    for case in data.cases("test"):
        batch = data.load([case])
        image, tumour, grade = batch.image, batch.context["tumour"], int(batch.truth)
        _, labels, _ = read_subject(data._files("test")._subjects[case.case])
        labels = torch.from_numpy(centre_cube(labels[None], data.size))[None]
        core = (labels == NECROSIS) | (labels == ENHANCING) if grade else tumour
        kept = [torch.ones_like(tumour), ~tumour, ~core, ~(tumour & ~core), tumour | ~batch.context["brain"]]
        with torch.inference_mode():
            answers[grade].append([float(target(image * mask, batch)) for mask in kept])
        if grade:
            shares.append(float(core.sum() / tumour.sum()))
    for grade, name in ((1, "HGG"), (0, "LGG")):
        means = np.mean(answers[grade], 0)
        print(f"{name}, {len(answers[grade])} volumes:", ", ".join(f"{what} {value:.3f}" for what, value in zip(KEPT, means, strict=True)))
    share = np.array(shares)
    perfect = (2 * share / (1 + share)).mean()
    print(f"core of a high grade: {share.mean():.2f} of the tumour ({share.min():.2f} to {share.max():.2f}); Dice of the core alone {perfect:.2f}")


if __name__ == "__main__":
    main()
