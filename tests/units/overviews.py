"""Overviews made up from one seed: what the page is tried on without measuring anything."""

from __future__ import annotations

import io
import math
from dataclasses import replace

import numpy as np
from PIL import Image

from medrobust.leaderboard.overview.standing import Curve, Curves, HeatMap, Matrix, Overview, Point, Shown, Standing
from medrobust.leaderboard.page import Page
from medrobust.leaderboard.tables import Column, Entry, Validity
from medrobust.stats import Detectable

DICE = Column("mean Dice", shown="%", scale=100.0, digits=1, better=True)
P_VALUE = Column("p", digits=3)
ATTACKS = ("pgd", "apgd", "square", "random noise")
NAMES = (
    ("seg-unet", "none"),
    ("seg-unet", "deform-robust"),
    ("seg-unet", "pgd-training"),
    ("seg-unet", "jpeg"),
    ("nnu-net", "none"),
    ("nnu-net", "pgd-training"),
)
BUDGETS = ((0.0, "0"), (1.0, "1/255"), (2.0, "2/255"), (4.0, "4/255"), (8.0, "8/255"), (math.inf, "inf"))


def entry(value: float, spread: float = 0.02, **fields: object) -> Entry:
    return replace(Entry(value, max(value - spread, 0), min(value + spread, 1), patients=20, cases=415, expected=415), **fields)


def standing(rng: np.random.Generator, target: str, defense: str, condition: str, tier: int | None, rank: int, attacks: tuple[str, ...]) -> Standing:
    clean = rng.uniform(0.75, 0.95)
    each = [clean * rng.uniform(0.1, 0.9) for _ in attacks]
    return Standing(
        target,
        defense,
        condition,
        tier,
        None if tier is None else max(1, rank - 1),
        None if tier is None else rank + 1,
        None if tier is None else float(rng.uniform(0, 1) / rank),
        entry(clean),
        entry(min(each) * 0.9, best=tier == 1),
        tuple(entry(value) for value in each),
        entry(1 - clean, 0.01),
        20,
        415,
        Validity(),
        {"queries": float(rng.integers(1e3, 5e6)), "gradients": float(rng.integers(0, 5e5)), "seconds": float(rng.uniform(20, 9e3))},
    )


def picture(rng: np.random.Generator, low: int = 0, high: int = 256) -> bytes:
    plane = rng.integers(low, high, (12, 12)).astype("uint8").repeat(8, 0).repeat(8, 1)
    stream = io.BytesIO()
    Image.fromarray(plane).save(stream, format="PNG", optimize=True)
    return stream.getvalue()


def shown(rng: np.random.Generator, target: str, defense: str, condition: str, attack: str, case: str) -> Shown:
    images = tuple((caption, picture(rng)) for caption in ("clean", "attacked", "difference", "prediction", "truth"))
    return Shown(target, defense, condition, attack, case, images, (("Dice", "91.2 to 42.0 %"), ("change, linf", "8.0 HU"), ("queries", "100")))


def overview(label: str = "phantom: abdominal CT, 128x128 at 3 mm", conditions: tuple[str, ...] = ("8/255", "16/255"), seed: int = 0) -> Overview:
    """Everything that an overview can show: two conditions, an invalid entrant, one without a number, one with remarks."""
    rng = np.random.default_rng(seed)
    tiers = (1, 1, 2, 3, None, None)
    found = []
    for condition in conditions:
        group = [standing(rng, *name, condition, tier, rank, ATTACKS) for rank, (name, tier) in enumerate(zip(NAMES, tiers, strict=True), 1)]
        warned, invalid, absent = group[2], group[4], group[5]
        wrong = Validity("invalid", ("V11: the best query was not returned", "V05: success falls as the budget grows"))
        group[2] = replace(warned, validity=Validity("warn", ("V07: gradients are zero in 12 of 415 cases",)))
        group[4] = replace(invalid, validity=wrong, worst=replace(invalid.worst, validity=wrong))
        group[5] = replace(absent, worst=Entry(note="missing", validity=Validity("missing")), validity=Validity("missing"), missed=None, cost={})
        found += group
    models = [one.name for one in found[: len(NAMES)]]
    lines = []
    for attack in ATTACKS[:3]:
        for i, model in enumerate(models[:4]):
            fall = 0.02 + 0.03 * i
            points = [Point(x, said, entry(0.93 * math.exp(-fall * min(x, 24)), 0.03)) for x, said in BUDGETS]
            if i == 1:
                points[3] = replace(points[3], entry=replace(points[3].entry, validity=Validity("invalid", ("V05: success falls",))))
            if i == 2:
                points[2] = replace(points[2], entry=Entry(note="missing"))
            lines.append(Curve(model, attack, tuple(points)))
    few = tuple(models[:4])
    transfer = tuple(tuple(entry(float(rng.uniform(0.1, 0.9))) for _ in few) for _ in few)
    p_values = tuple(tuple(None if i == j else Entry(float(rng.uniform(0, 0.2)), best=False) for j in range(4)) for i in range(4))
    heat = np.round(np.exp(-(((np.arange(9)[:, None] - 5) / 3) ** 2) - ((np.arange(9)[None] - 4) / 3) ** 2) * 40)
    grid = tuple(tuple(None if x + y < 3 else float(v) for x, v in enumerate(row)) for y, row in enumerate(heat))
    pictures = [shown(rng, *name, conditions[0], attack, f"patient-{i:02d}#{40 + i}") for name in NAMES[:3] for i, attack in enumerate(ATTACKS[:2])]
    return Overview(
        "seg-linf",
        "abdomen-phantom",
        label,
        20,
        415,
        DICE,
        ATTACKS,
        tuple(found),
        method="Entrants are ranked by the mean over patients of each case's worst Dice; 2000 bootstrap draws of patients give the rank intervals. "
        "Two entrants share a tier unless a paired permutation test, corrected after Holm, separates them at 5 %.",
        agreement=(("mean against mean rank", 0.93), ("mean against significance", 0.8), ("mean rank against significance", 0.87)),
        detectable={"eps=1/255": Detectable(0.017, 0.021, 0.035, 2.6, 12, 6)},
        sensitivity=(
            ("metric: Dice of the moved truth", "seg-unet", True),
            ("missing structures left out", "seg-unet + deform-robust", False),
            ("without square", "seg-unet", True),
        ),
        curves=(Curves("Security curves", "linf, n/255 of the range", DICE, tuple(lines)),),
        matrices=(
            Matrix("transfer", "Transfer", "Made on the row, judged on the column: mean Dice of the column's model.", few, few, transfer, DICE, 0, 1),
            Matrix("significance", "Significance", "p after Holm that the row is better than the column.", few, few, p_values, P_VALUE, 0, 0.1),
        ),
        heat=HeatMap("Where attacks hurt", "Cases in which the change fell here and the organ was lost.", "cases", grid),
        shown=tuple(pictures),
        findings=(
            {"id": "V04", "level": "warn", "column": "seg-unet + jpeg, 8/255", "message": "black-box square beats white-box pgd by 3.1 points"},
            {"id": "V06", "level": "info", "column": "nnu-net, 8/255", "message": "random noise does as well as one attack"},
        ),
    )


def many(count: int = 2000, attacks: int = 8) -> Overview:
    """A board of many entrants in one condition."""
    rng = np.random.default_rng(1)
    names = tuple(f"attack {i}" for i in range(attacks))
    entrants = [standing(rng, f"model-{i:04d}", "none" if i % 3 else "pgd-training", "8/255", 1 + i // 100, i + 1, names) for i in range(count)]
    return Overview("cls-linf", "x", "synthetic: many entrants", 200, 1000, DICE, names, tuple(entrants))


def leaderboard(*overviews: Overview, suite: str = "seg-linf@0123abcd") -> Page:
    """A page of overviews alone."""
    environment = (("medrobust", "0.1.0"), ("torch", "2.13.0"))
    digests = tuple((f"{i:012x}", f"cell {i}") for i in range(8))
    return Page(suite, (), 8, (), (), (("pgd", "art-pgd(steps=20)"),), (environment,), digests, tuple(overviews))
