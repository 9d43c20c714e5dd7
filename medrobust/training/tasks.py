"""What differs from task to task when a model is trained and its card is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from medrobust import registry
from medrobust.data.augment import band, mirror, redraw_masks
from medrobust.errors import SpecError
from medrobust.randomness import CaseRandom
from medrobust.training import classification, reconstruction, segmentation
from medrobust.training.schedule import Schedule
from medrobust.types import Batch, Data, Target

Measure = Callable[[Target, Data, str], Mapping[str, float]]
"""(target, data, device) -> figures."""


@dataclass(frozen=True)
class Training:
    """How models of one task are trained and described.

    vary: (batch, schedule, rng) -> the batch as a step sees it; what an objective varies itself is not varied here.
    validate: figures of the validation split, `loss` among them, lower is better. figures: what a card quotes, such as `nmse@4x`.
    intensity: a card's words on intensities. unit: a card's word for cases. idle: fields of `Schedule` that say nothing about such a training.
    decode: cases are decoded once and kept beside the checkpoints while the training runs.
    """

    vary: Callable[[Batch, Schedule, CaseRandom], Batch]
    validate: Measure
    figures: Measure
    intensity: str
    unit: str
    idle: tuple[str, ...] = ()
    decode: bool = False


def measured_anew(batch: Batch, schedule: Schedule, rng: CaseRandom) -> Batch:
    """Masks redrawn, slices mirrored left to right at random, and cut to bands where the schedule says so."""
    batch = mirror(redraw_masks(batch, schedule.masks, rng), rng)
    return band(batch, schedule.rows, rng) if schedule.rows else batch


def as_loaded(batch: Batch, schedule: Schedule, rng: CaseRandom) -> Batch:  # noqa: ARG001 - one signature for all tasks
    return batch


TASKS = {
    "reconstruction": Training(
        measured_anew,
        reconstruction.validate,
        reconstruction.figures,
        "magnitude in the file's own units; each slice is scaled by its own statistics inside the network",
        "slices",
    ),
    "classification": Training(
        as_loaded,
        classification.validate,
        classification.figures,
        "each sequence of a volume scaled by itself, its minimum to 0 and its maximum to 1",
        "volumes",
        idle=("masks", "rows"),
        decode=True,
    ),
    "mammograms": Training(
        as_loaded,
        classification.validate,
        classification.figures,
        "each image scaled by itself, its lowest value, which is the background's, to -1 and its highest to 1",
        "images",
        idle=("masks", "rows"),
        decode=True,
    ),
    "segmentation": Training(
        as_loaded,
        segmentation.validate,
        segmentation.figures,
        "Hounsfield units; inside the target standard deviations from the mean of the subject's whole volume",
        "slices",
        idle=("masks", "rows"),
        decode=True,
    ),
}


def training_of(task: str) -> Training:
    """How models of `task`, or of the less usual images of a task that an architecture names, are trained; SpecError where nothing is known."""
    if task not in TASKS:
        msg = f"train: no training for task '{task}'; {registry.near(task, list(TASKS))}"
        raise SpecError(msg)
    return TASKS[task]
