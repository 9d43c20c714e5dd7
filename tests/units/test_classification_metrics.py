"""Scores of clean cases: the truth can be had back from them, ties and certainty are counted as they say."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from medrobust.metrics.classification import Correct, Saturated, Score, Undecided
from medrobust.types import Attacked, Batch, Case, Outcome

SCORES = torch.tensor([0.0, 5e-5, 2e-4, 0.44, 0.46, 0.5, 0.54, 0.56, 0.9998, 0.99995, 1.0])


def outcome(prediction: Tensor, truth: Tensor) -> Outcome:
    image = torch.zeros(len(truth), 4, 2, 2, 2)
    cases = tuple(Case(f"case{i}", f"patient{i}", f"case{i}") for i in range(len(truth)))
    return Outcome(Batch(image, truth, cases), Attacked(image), prediction)


@pytest.mark.parametrize("classes", [1, 2])
@pytest.mark.parametrize("positive", [0, 1])
def test_one_and_two_logits_score_alike(classes: int, positive: int) -> None:
    prediction = SCORES[:, None] if classes == 1 else torch.stack([1 - SCORES, SCORES], 1)
    found = outcome(prediction, torch.full((len(SCORES),), positive))
    assert Score()(found).tolist() == SCORES.tolist()
    assert Correct()(found).tolist() == [float((score >= 0.5) == positive) for score in SCORES.tolist()]
    assert Undecided()(found).tolist() == [0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0]
    assert Saturated()(found).tolist() == [1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1]


def test_the_truth_can_be_had_back() -> None:
    truth = torch.randint(2, (11,), generator=torch.Generator().manual_seed(0))
    found = outcome(SCORES[:, None], truth)
    right = Correct()(found) == 1
    assert torch.equal((Score()(found) >= 0.5) == right, truth == 1)


def test_the_most_probable_of_many_classes_counts() -> None:
    prediction = torch.tensor([[0.2, 0.5, 0.3], [0.6, 0.2, 0.2], [0.99995, 2e-5, 3e-5]])
    found = outcome(prediction, torch.tensor([1, 2, 0]))
    assert Score()(found).tolist() == prediction[:, 2].tolist()
    assert Correct()(found).tolist() == [1, 0, 1]
    assert Undecided()(found).tolist() == [1, 0, 0]
    assert Saturated()(found).tolist() == [0, 0, 1]


@pytest.mark.parametrize("margin", [0.0, 0.5, -1.0])
def test_margins_that_cannot_be_are_refused(margin: float) -> None:
    for metric in (Undecided, Saturated):
        with pytest.raises(ValueError, match=f"margin: found {margin}, expected a number between 0 and 0.5"):
            metric(margin)
