"""What each track asks, for who has never seen it: the threat in a sentence, what a case is, and the words that its pages use."""

from __future__ import annotations

import re
from collections.abc import Mapping

PHANTOM = "phantom"
Words = tuple[tuple[str, str], ...]

BOUNDED = (
    "An attacker may change every {case} by no more than a budget, and picks the change that does most harm to the {model}. White-box attacks see "
    "the model's gradients, black-box attacks its answers alone."
)
THREATS: Mapping[str, str] = {
    "cls-linf": BOUNDED.format(case="image", model="classifier's answer"),
    "mammo-tamper": "A trained network paints malignant features into healthy mammograms and takes them out of cancerous ones. It never sees the "
    "readers that are tested; they say whether they see cancer, detectors whether an image was tampered with.",
    "recon-fnaf": "A small bright structure is put into the object before it is scanned, where accelerated imaging still measures it, and attacks "
    "look for the structure that a reconstruction leaves out. The object really has it, so a lost structure is a missed abnormality.",
    "recon-l2": BOUNDED.format(case="scanned object", model="reconstruction"),
    "roi": "Nobody is attacked. Explainers mark where a classifier of whole volumes looks, and the marks are held against the tumour's true "
    "outline, which the classifier was not trained on.",
    "seg-deform": "An attacker moves anatomy a little and shades tissue a little, within one budget of pixels and Hounsfield units, and picks the "
    "change that makes a segmenter lose organs.",
    "seg-linf": BOUNDED.format(case="slice", model="segmenter's answer"),
}
CASES: Mapping[str, str] = {
    "cls-linf": "images",
    "mammo-tamper": "images",
    "recon-fnaf": "slices",
    "recon-l2": "slices",
    "roi": "volumes",
    "seg-deform": "slices",
    "seg-linf": "slices",
}
NORMS: Words = (
    ("linf", "the largest change of any pixel of an image, in the units of its intensities"),
    ("l2", "the Euclidean length of the change of an image: the root of the sum of its squares"),
    (
        "1/255",
        (
            "a budget, in the units of the intensities; a 255th is one grey level where images lie between 0 and 1, and half of one where they lie "
            "between \N{MINUS SIGN}1 and 1"
        ),
    ),
    ("unbounded", "no budget at all: an attack that does not win here is broken, or the model hides its gradients"),
)
DICE = ("Dice", "overlap of an organ as answered and as it truly is, from 0 to 100 %; an organ that is missed counts 0")
WORDS: Mapping[str, Words] = {
    "cls-linf": (("score", "probability of the second of two classes, such as cancer; 0.5 is where the answer changes"), *NORMS),
    "mammo-tamper": (
        ("score", "a reader's probability of cancer; from 0.5 on it calls the image cancerous"),
        ("tamper@N", "images of the attacking network after N steps of its training"),
        ("tamper score", "a detector's probability that an image was tampered with"),
    ),
    "recon-fnaf": (
        ("FNAF", "false-negative adversarial feature: a structure that is there, was measured, and is missing from the reconstruction"),
        ("hit", "an image of which an attack found such a structure: its adversarial loss is at least 0.001 variances of the input image"),
        ("4x, 8x", "acceleration: the share of the measurement that is left out grows with it"),
        ("fixed mask", "the attack knows which lines are measured; elsewhere they are drawn anew"),
    ),
    "recon-l2": NORMS,
    "roi": (
        ("Dice at best grouping", "overlap of the tumour and the highest-ranked regions of a map, where the truth says how many to take"),
        ("superpixel", "a region of voxels alike, which explainers change as one; n of them a volume"),
        ("free: ...", "a map that never asks the classifier, such as bright voxels of one sequence; who does not beat these explained nothing"),
    ),
    "seg-deform": (
        (
            "p",
            (
                "size of a perturbation: mean absolute change of a pixel, in standard deviations of its subject. The p value of a test is "
                "another thing"
            ),
        ),
        ("xi", "how much harm the attacking network was trained to do: the loss of the segmenter that it aims at"),
        ("D, V", "the two parts of a perturbation: D moves anatomy, V shades intensities; zeroed: the other part switched off after training both"),
        DICE,
    ),
    "seg-linf": (DICE, *NORMS),
}


def phantom(data_label: str) -> bool:
    """Whether its images were made by a program; their labels begin so."""
    return data_label.startswith(PHANTOM)


def cases_called(track: str, data_label: str) -> str:
    """What a case is, in the plural: by the size that the label gives where it has three axes, else by the track."""
    return "volumes" if re.search(r"\d+x\d+x\d+", data_label) else CASES.get(track, "cases")
