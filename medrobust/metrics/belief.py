"""Evidence that an attack was given a fair try: what validity checks read, case by case, beside the numbers themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from medrobust.metrics.classification import predicted
from medrobust.metrics.norm_bounded import clean_right
from medrobust.types import Outcome

LEVELS = 256


@dataclass(frozen=True)
class LossPath:
    """The loss that an attack raised, at four places of its path: a path that still climbs at its end was cut short.

    The path of a case ends with the last query that was asked of it, the last number of its trace, however much longer the traces of others are.

    Source: Croce et al. 2022, arXiv:2202.13711 (what keeps an evaluation from being believed); this project's places. No value where the attack
    names no losses.
    """

    name: ClassVar[str] = "loss-path"
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool | None] = None
    worst: ClassVar[float] = 0.0
    per: ClassVar[str] = "case"

    def __call__(self, outcome: Outcome) -> Mapping[str, Tensor]:
        """(n,) labelled `first` and `last`, the loss there, `three-quarters`, the highest of the first three quarters, and `highest` of all."""
        trace = outcome.attacked.trace.get("loss")
        if trace is None or not trace.shape[1]:
            return dict.fromkeys(("first", "three-quarters", "last", "highest"), undefined(outcome))
        trace, places = trace.double(), torch.arange(trace.shape[1], device=trace.device)
        asked = (~trace.isnan() * (places + 1)).amax(1)
        last = trace.gather(1, (asked - 1).clamp_min(0)[:, None])[:, 0]
        late, beyond = ((places >= end[:, None]) for end in (-(-3 * asked // 4), asked))
        early, highest = (trace.masked_fill(left_out, -torch.inf).amax(1) for left_out in (late, beyond))
        path = {"first": trace[:, 0], "three-quarters": early, "last": last, "highest": highest}
        return {label: torch.where(values.isfinite(), values, torch.nan) for label, values in path.items()}


@dataclass(frozen=True)
class SilentSuccess:
    """1 where some query had a wrong answer and what the attack returned has a right one, else 0; no value where the attack names no successes.

    Source: Croce & Hein 2020, arXiv:2003.01690, section 4 (return the best point, not the last).
    """

    task: ClassVar[str] = "classification"
    name: ClassVar[str] = "silent-success"
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool | None] = None
    worst: ClassVar[float] = 1.0
    per: ClassVar[str] = "case"

    def __call__(self, outcome: Outcome) -> Tensor:
        """(n,)."""
        trace = outcome.attacked.trace.get("success")
        if trace is None or not trace.shape[1]:
            return undefined(outcome)
        right = (predicted(outcome.prediction) == outcome.truth).cpu()
        return ((trace > 0).any(1).cpu() & right).double()


@dataclass(frozen=True)
class RestartLoss:
    """The lowest and the highest loss that the restarts of an attack reached: far apart, and one start is chance.

    Source: Mosbach et al. 2018, arXiv:1810.12042 (restarts uncover what one start hides). No value where the attack started once.
    """

    name: ClassVar[str] = "restart-loss"
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool | None] = None
    worst: ClassVar[float] = 0.0
    per: ClassVar[str] = "case"

    def __call__(self, outcome: Outcome) -> Mapping[str, Tensor]:
        """(n,) labelled `lowest` and `highest`."""
        trace = outcome.attacked.trace.get("restart")
        if trace is None or not trace.shape[1]:
            return dict.fromkeys(("lowest", "highest"), undefined(outcome))
        ends = {"lowest": trace.double().amin(1), "highest": trace.double().amax(1)}
        return {label: torch.where(values.isfinite(), values, torch.nan) for label, values in ends.items()}


@dataclass(frozen=True)
class SurvivesSaving:
    """1 where a wrong answer to the attacked image is still wrong once the image is rounded as a file would store it, else 0.

    Source: Kurakin et al. 2017, arXiv:1607.02533 (what becomes of adversarial images outside of memory). No value where the answer is right.

    whole: round to whole units, as CT is stored in Hounsfield units; else to `levels` evenly spaced values from `low` to `high`.
    levels: at least 2, such as 256 for 8 bit and 65536 for 16 bit. low, high: in the data's intensity units, the lower first; None for the lowest and
        the highest intensity of the attacked image itself.
    """

    task: ClassVar[str] = "classification"
    name: ClassVar[str] = "survives-saving"
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool | None] = None
    worst: ClassVar[float] = 1.0
    per: ClassVar[str] = "case"
    whole: bool = False
    levels: int = LEVELS
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        if self.levels < 2:
            msg = f"levels: found {self.levels}, expected at least 2"
            raise ValueError(msg)
        if self.low is not None and self.high is not None and not self.low < self.high:
            msg = f"low and high: found {self.low} and {self.high}, expected the lower first"
            raise ValueError(msg)

    def __call__(self, outcome: Outcome) -> Tensor:
        """(n,)."""
        if outcome.target is None:
            msg = "found no target to show the saved image to, expected one"
            raise ValueError(msg)
        batch = outcome.attacked_batch
        wrong = predicted(outcome.prediction) != outcome.truth
        after = predicted(outcome.target(self.saved(batch.image), batch)) != outcome.truth
        return torch.where(wrong, after.double(), torch.nan)

    def saved(self, image: Tensor) -> Tensor:
        """The image as it comes back from a file, (n, c, *space)."""
        if self.whole:
            return image.round()
        flat, shape = image.flatten(1), (-1, *[1] * (image.ndim - 1))
        low, high = (own if end is None else torch.full_like(own, end) for end, own in ((self.low, flat.amin(1)), (self.high, flat.amax(1))))
        step = ((high - low) / (self.levels - 1)).view(shape)
        steps = ((image - low.view(shape)) / step.clamp_min(torch.finfo(image.dtype).tiny)).round().clamp(0, self.levels - 1)
        return low.view(shape) + steps * step


@dataclass(frozen=True)
class CleanCorrect:
    """1 where the target's answer to the clean image is right, else 0; asked in the cell of the attack itself.

    Source: this project. Under one target the same in every cell, or the target is not the same.
    """

    task: ClassVar[str] = "classification"
    name: ClassVar[str] = "clean-correct"
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool | None] = None
    worst: ClassVar[float] = 0.0
    per: ClassVar[str] = "case"

    def __call__(self, outcome: Outcome) -> Tensor:
        """(n,)."""
        return clean_right(outcome).double()


def undefined(outcome: Outcome) -> Tensor:
    """NaN for every case, (n,)."""
    return torch.full((len(outcome.batch),), torch.nan, dtype=torch.float64)
