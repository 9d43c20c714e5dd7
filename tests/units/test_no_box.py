"""The threat that asks nothing: a target that answers no question, trainings that serve every target, and no query in a plan."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from medrobust.cell import Cell, Configured
from medrobust.fitting import FITS, fitted, identity
from medrobust.guard import NO_BOX, Guarded, modules
from medrobust.plan import Cost, _cost
from medrobust.resolve import ChosenAttack
from medrobust.testing import Bench
from medrobust.types import Attacked

BENCH = Bench.suited(object(), "segmentation")


@dataclass(frozen=True)
class Learner:
    """Learns one number, and notes what it was shown. `queries` and `gradients` are not what it says."""

    threat: ClassVar[str] = NO_BOX
    queries: ClassVar[int] = 7
    gradients: ClassVar[int] = 7
    weights: Mapping[str, Tensor] = field(default_factory=dict, compare=False)
    seen: list[Any] = field(default_factory=list, compare=False)

    @property
    def recipe(self) -> dict[str, str]:
        return {"name": "learner"}

    def fit(self, target, data, seed, folder, report):
        self.seen.append(target)
        return {"gain": torch.tensor([float(seed)])}

    def __call__(self, target, batch, budget, rng):
        return Attacked(batch.image + self.weights["gain"])


class Asker(Learner):
    threat: ClassVar[str] = "black-box"


@pytest.mark.parametrize("question", ["__call__", "loss"])
def test_a_target_answers_no_question(question: str) -> None:
    guarded, batch = Guarded(BENCH.target(), NO_BOX), BENCH.batch()
    with pytest.raises(RuntimeError, match=r"^a target answers no no-box probe: found a question, expected none$"):
        getattr(guarded, question)(batch.image, batch)
    with pytest.raises(RuntimeError, match="answers no"):
        getattr(guarded.to("cpu"), question)(batch.image, batch)
    with pytest.raises(AttributeError, match="closed to no-box probes"):
        guarded.network  # noqa: B018
    assert guarded.passes.forward == 0
    assert not guarded.white_box


def test_one_training_serves_every_target_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDROBUST_CACHE", str(tmp_path))
    one, other = BENCH.target(), replace(BENCH.target(), digest="ba9876543210")
    assert identity(Learner(), one, "data", 0) == identity(Learner(), other, "data", 0) != identity(Learner(), one, "data", 1)
    assert identity(Asker(), one, "data", 0) != identity(Asker(), other, "data", 0)
    plugin = Learner()
    for target in (one, other):
        assert fitted(plugin, target, BENCH.data(), 5, lambda *_: None).weights["gain"] == 5
    (shown,) = plugin.seen
    with pytest.raises(RuntimeError, match="answers no no-box probe"):
        shown.loss(BENCH.batch().image, BENCH.batch())
    assert len(modules(shown)) == 1, "its device can be found"
    (about,) = (json.loads(path.read_text()) for path in (tmp_path / FITS).glob("*/fit.json"))
    assert "target" not in about
    assert about["data"] == BENCH.data().digest


def test_a_training_that_asks_is_shown_the_target_and_is_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDROBUST_CACHE", str(tmp_path))
    plugin, target = Asker(), BENCH.target()
    fitted(plugin, target, BENCH.data(), 5, lambda *_: None)
    assert plugin.seen[0] is target
    (about,) = (json.loads(path.read_text()) for path in (tmp_path / FITS).glob("*/fit.json"))
    assert about["target"] == target.digest


def test_it_costs_the_judging_alone() -> None:
    cell = Cell.__new__(Cell)
    object.__setattr__(cell, "cases", 4)
    configured = Configured("learner", "learner")
    assert _cost(cell, ChosenAttack(configured, Learner(), "learner", False)) == Cost(4, 0)
    assert _cost(cell, ChosenAttack(configured, Asker(), "asker", False)) == Cost(32, 28)
