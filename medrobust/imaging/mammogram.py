"""Mammograms of made-up women: attenuation of a compressed breast in CC or MLO view, as a detector would show it, with its findings outlined."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from medrobust.imaging.mammogram_anatomy import GLAND, MUSCLE, SHAPE, SKIN, Breast, fat, ligaments, parenchyma, vessels
from medrobust.imaging.mammogram_lesions import Finding, Lesion, calcifications, cluster, smooth_mass, spiculated_mass
from medrobust.imaging.smooth import Array

GAIN = 1250.0
"""Grey levels of one unit of log attenuation."""

WHITE = 4095
"""Highest grey level: 12 of 16 bits are used."""


@dataclass(frozen=True)
class Woman:
    """What both views of one breast share.

    birads: 1 nothing, 2 benign, 3 probably benign, 4 suspicious, 5 malignant. density: 1 to 4, which are ACR a to d. dense: share of the breast's
    area that is dense. compressed: thickness in mm. depth: mm from chest wall to nipple. right: whether it is the right breast.
    lesion: its kind and looks; None where there is none. coarse: number of coarse benign calcifications.
    """

    birads: int
    density: int
    dense: float
    compressed: float
    depth: float
    right: bool
    lesion: Lesion | None
    coarse: int


@dataclass(frozen=True)
class Mammogram:
    """One view: image (*SHAPE) uint16, MONOCHROME2, air 0, chest wall in column 0; findings outlined in pixels, x before y.

    muscle: outline of the pectoral muscle, likewise; None in CC.
    """

    image: NDArray[np.uint16]
    findings: tuple[Finding, ...]
    muscle: NDArray[np.float64] | None


def woman(random: Generator, cancerous: bool) -> Woman:
    """One woman, cancerous (BI-RADS 3 to 5) or healthy (1 and 2).

    Densities a to d stand 15, 35, 35 and 15 in a hundred, whoever is ill. A malignant lesion is a spiculated mass, in every third with a cluster of
    microcalcifications, or, in every sixth woman, such a cluster alone; malignant masses are a quarter denser. BI-RADS 3 is a smooth mass, its margin
    partly obscured; BI-RADS 2 is a smooth mass seen all round, or coarse calcifications. These are in every fourth cancerous breast too.
    """
    draw, kind, both = random.uniform(size=3)
    density = 1 + int(np.searchsorted([0.15, 0.5, 0.85], random.uniform()))
    dense = random.uniform(*((0.05, 0.16), (0.22, 0.40), (0.45, 0.65), (0.70, 0.88))[density - 1])
    birads = 3 + int(np.searchsorted([0.16, 0.55], draw)) if cancerous else 1 + int(draw > 0.5)
    radius, contrast = random.uniform(4, 12), random.uniform(0.34, 0.64)
    lesion = None
    if birads >= 4:
        has_mass = bool(kind > 1 / 6)
        lesion = Lesion(radius, 1.25 * contrast, spiculated=has_mass, clustered=bool(not has_mass or both < 1 / 3))
    elif birads == 3 or (birads == 2 and kind < 0.5):
        lesion = Lesion(radius, contrast, smooth=True, obscured=birads == 3)
    shown = both < 0.25 if birads >= 3 else birads == 2 and (kind >= 0.5 or both < 0.3)
    return Woman(
        birads=birads,
        density=density,
        dense=dense,
        compressed=random.uniform(38, 62),
        depth=random.uniform(82, 132),
        right=bool(random.uniform() < 0.5),
        lesion=lesion,
        coarse=int(shown) * int(random.integers(1, 5)),
    )


def mammogram(random: Generator, one: Woman, oblique: bool) -> Mammogram:
    """One view of a woman's breast; oblique: MLO, else CC.

    random: the only source of randomness; noise is drawn last.

    Source: geometry and tissue are made, no scan. Log attenuation is the sum of thickness x coefficient over fat, gland (0.46 and 0.80 per cm, about
    20 keV), skin, muscle and lesions, the rim being a half circle of the compressed thickness; parenchyma follows a power law of exponent 3
    (Burgess et al. 2001, doi:10.1118/1.1355308); quantum noise is that of 1 / sqrt(photons) behind the breast, blurred by the detector. As in images
    for presentation, the thin rim is brightened by most of the fat it lacks.
    """
    breast = Breast.drawn(random, one.depth, one.compressed, oblique)
    strands = ligaments(random, breast)
    gland = parenchyma(random, breast, strands, one.dense)
    log = breast.thickness * (fat(random, strands) + gland * GLAND)
    log += vessels(random, breast)
    log += SKIN * np.exp(-((breast.inside / 1.6) ** 2))
    log += MUSCLE * breast.muscle
    findings = _lesions(random, breast, one, gland, log)
    shown = GAIN * random.uniform(0.85, 1.15) * (log + breast.missing - breast.whole)
    photons = random.uniform(2500, 6000) * np.exp(-np.clip(log - breast.whole, -2, 4))
    noise = gaussian_filter(random.standard_normal(SHAPE, dtype=np.float32), 0.55) * 1.9
    image = random.uniform(850, 1100) + shown + GAIN * noise / np.sqrt(photons)
    covered = np.where(breast.inside > 0, np.clip(np.rint(image), 1, WHITE), 0)
    return Mammogram(covered.astype(np.uint16), tuple(findings), breast.muscle_outline)


def _lesions(random: Generator, breast: Breast, one: Woman, gland: Array, log: Array) -> list[Finding]:
    """Add what the woman has to `log`, and outline it."""
    findings = []
    if one.lesion is not None:
        at = breast.place(random, gland, one.lesion.reach)
        for wanted, make in ((one.lesion.spiculated, spiculated_mass), (one.lesion.smooth, smooth_mass), (one.lesion.clustered, cluster)):
            if wanted:
                findings += make(random, log, at, one.lesion)
    if one.coarse:
        findings += calcifications(random, log, [breast.place(random, gland, 2.0) for _ in range(one.coarse)])
    return findings

