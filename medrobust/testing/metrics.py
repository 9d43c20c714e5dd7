"""What every metric promises."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from medrobust.testing.bench import Bench, lesion_corner
from medrobust.testing.explained import explained_outcome
from medrobust.testing.mammograms import tampered_outcome
from medrobust.testing.observe import copies, difference, documented, plain_data, tensors
from medrobust.testing.promise import Promise
from medrobust.testing.slices import segmented_outcome
from medrobust.types import Attacked, Metric, Outcome

FADES = (0.0, 0.3, 0.7)
TURNED = 1.5
"""A fade at which answers of classifiers are wrong."""


def metric_promises() -> list[Promise]:
    """Every promise of a metric, in order."""
    return [
        Promise("M1", "declares name, unit, higher_is_better, worst and per", declares),
        Promise("M2", "gives one value a case, or one a group", gives_one_value),
        Promise("M3", "treats each case alone, and a group in any order", treats_cases_alone),
        Promise("M4", "prefers a perfect prediction to a faded one, and that to a more faded one", prefers_the_better),
        Promise("M5", "gives NaN where it is not defined, without spoiling the other cases", knows_the_undefined),
        Promise("M6", "leaves its inputs alone", leaves_inputs_alone),
        Promise("M7", "is plain data: a frozen dataclass that survives JSON and pickle", plain_data),
        Promise("M8", "cites its source and documents every field", documented),
    ]


def outcome(bench: Bench, fade: float, rows: list[int], *, added: bool = True, boxes: bool = True) -> Outcome:
    """As `untraced`, of an attack that says what each of four queries and two starts came to."""
    bare = untraced(bench, fade, rows, added=added, boxes=boxes)
    own = torch.tensor(rows, dtype=torch.float32)[:, None]
    path = own + torch.tensor([[0.5, 2.0, 3.0, 1.0]])
    trace = {"loss": path, "success": (path > 3).float(), "restart": path[:, 1:3]}
    return replace(bare, attacked=replace(bare.attacked, trace={**trace, **bare.attacked.trace}))


def untraced(bench: Bench, fade: float, rows: list[int], *, added: bool = True, boxes: bool = True) -> Outcome:
    """Cases `rows` predicted with their contrast faded by `fade` towards the mean; for classification, with the answer and its explanation faded.

    added: a bright square was added to each image, and the region says where.
    boxes: cases keep their lesion boxes, or tumours; else all are NaN, or empty.
    """
    if bench.images == "mammograms":
        return tampered_outcome(bench.batch().select(rows), fade, changed=added, outlined=boxes)
    if bench.task == "classification":
        return explained_outcome(bench, fade, rows, tumour=boxes)
    if bench.task == "segmentation":
        return segmented_outcome(bench.batch().select(rows), fade, moved=added, organs=boxes)
    batch = bench.batch().select(rows)
    if not boxes:
        batch = batch.with_context(boxes=torch.full_like(batch.context["boxes"], math.nan))
    region = torch.zeros_like(batch.image, dtype=torch.bool)
    for i, row in enumerate(rows):
        top, left = (corner - 8 for corner in lesion_corner(row, bench.size))
        region[i, :, top : top + 3, left : left + 3] = True
    image = batch.image + 0.3 * region if added else batch.image.clone()
    attacked = Attacked(image, image, region) if added else Attacked(image)
    mean = image.mean(dim=(1, 2, 3), keepdim=True)
    return Outcome(batch, attacked, image + fade * (mean - image))


def labelled(values: Tensor | Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {"": values} if isinstance(values, Tensor) else dict(values)


def groups(metric: Metric, bench: Bench) -> list[list[int]]:
    """The rows of the bench that the metric may be given at once."""
    cases = bench.batch().cases
    if metric.per != "group":
        return [list(range(len(cases)))]
    return [[row for row, case in enumerate(cases) if case.group == group] for group in dict.fromkeys(case.group for case in cases)]


def declares(metric: Metric, _: Bench) -> str:
    wanted: dict[str, type | tuple[type, ...]] = {"name": str, "unit": str, "higher_is_better": (bool, type(None)), "worst": (int, float), "per": str}
    for name, kind in wanted.items():
        if not hasattr(metric, name):
            return f"{name} is missing"
        if not isinstance(getattr(metric, name), kind):
            return f"{name} is {getattr(metric, name)!r}"
    if metric.per not in ("case", "group"):
        return f"per is {metric.per!r}, expected 'case' or 'group'"
    return "worst is NaN, expected a number" if math.isnan(metric.worst) else ""


def gives_one_value(metric: Metric, bench: Bench) -> str:
    for rows in groups(metric, bench):
        expected = (1,) if metric.per == "group" else (len(rows),)
        for label, values in labelled(metric(outcome(bench, 0.3, rows))).items():
            if not isinstance(label, str) or not isinstance(values, Tensor) or not values.dtype.is_floating_point:
                return f"label {label!r} holds {type(values).__name__}, expected a tensor of floats"
            if tuple(values.shape) != expected:
                return f"label {label!r} is {tuple(values.shape)}, expected {expected}"
            if bool(values.isinf().any()):
                return f"label {label!r} is infinite for an imperfect prediction"
    return ""


def treats_cases_alone(metric: Metric, bench: Bench) -> str:
    for rows in groups(metric, bench):
        whole = labelled(metric(outcome(bench, 0.3, rows)))
        parts = [rows[::-1]] if metric.per == "group" else [rows[::-1], *([row] for row in rows)]
        for part in parts:
            wanted = whole if metric.per == "group" else {label: values[[rows.index(row) for row in part]] for label, values in whole.items()}
            found = difference(wanted, labelled(metric(outcome(bench, 0.3, part))), 1e-5)
            if found:
                return f"{found} between cases {rows} and {part}"
    return ""


def prefers_the_better(metric: Metric, bench: Bench) -> str:
    if metric.higher_is_better is None:
        return ""
    sign = 1 if metric.higher_is_better else -1
    for rows in groups(metric, bench):
        for added in (False, True):
            values = [labelled(metric(outcome(bench, fade, rows, added=added))) for fade in FADES]
            for label in values[0]:
                for one, other in itertools.pairwise(values):
                    if bool((sign * one[label] < sign * other[label] - 1e-6).any()):
                        return f"label {label!r} is {one[label].tolist()}, and {other[label].tolist()} for a prediction faded further"
                    if bool((sign * other[label] < sign * metric.worst).any()):
                        return f"label {label!r} is {other[label].tolist()}, worse than the declared worst {metric.worst}"
    return ""


def knows_the_undefined(metric: Metric, bench: Bench) -> str:
    for rows in groups(metric, bench):
        usual = labelled(metric(outcome(bench, 0.3, rows)))
        bare = labelled(metric(outcome(bench, 0.3, rows, added=False, boxes=False)))
        for label, values in bare.items():
            if bool(values.isinf().any()):
                return f"label {label!r} is {values.tolist()} where there is no region and no box"
        undefined = [label for label, values in usual.items() if bool(values.isnan().all())]
        if len(undefined) == len(usual) and all(bool(value.isnan().all()) for value in labelled(metric(outcome(bench, TURNED, rows))).values()):
            return "every value is NaN although there are regions and boxes, or maps and tumours"
    return ""


def leaves_inputs_alone(metric: Metric, bench: Bench) -> str:
    for rows in groups(metric, bench):
        seen = outcome(bench, 0.3, rows)
        things = [thing for thing in (seen.batch, seen.attacked, seen.explained) if thing]
        before = [copies(thing) for thing in things]
        prediction = seen.prediction.clone()
        metric(seen)
        found = [difference(one, tensors(thing)) for one, thing in zip(before, things, strict=True)]
        found.append(difference({"prediction": prediction}, {"prediction": seen.prediction}))
        if any(found):
            return next(filter(None, found))
    return ""
