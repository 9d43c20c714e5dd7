"""Which rows only an attack's trace may have given: asked of the metrics that read one."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from medrobust.metrics.belief import LossPath, RestartLoss, SilentSuccess
from medrobust.testing.bench import Bench
from medrobust.testing.metrics import untraced
from medrobust.types import Metric, Outcome
from medrobust.untraced import traced
from medrobust_attacks.fnaf.metrics import FeatureLoss, InformationPreservation


@pytest.fixture(scope="module")
def nothing_added() -> Outcome:
    """A reconstruction whose attack found nothing to add: no change and no region."""
    return untraced(Bench(), 0.3, [0, 1], added=False)


def rows(outcome: Outcome, *labels: str) -> set[tuple[str, str]]:
    return {(case.case, label) for case in outcome.batch.cases for label in labels}


def test_information_of_a_case_without_a_feature_is_off_the_trace_though_others_have_it_without(nothing_added: Outcome) -> None:
    asked = rows(nothing_added, "", "candidates", "bogus")
    assert traced(InformationPreservation(), nothing_added, asked) == rows(nothing_added, "", "candidates")


def test_a_loss_without_a_feature_is_off_no_trace_and_one_that_counts_queries_is(nothing_added: Outcome) -> None:
    region = torch.ones_like(nothing_added.batch.image[:, :1], dtype=torch.bool)
    attacked = replace(nothing_added, attacked=replace(nothing_added.attacked, region=region))
    assert traced(FeatureLoss(), nothing_added, rows(attacked, "", "q=11")) == set()
    assert traced(FeatureLoss(), attacked, rows(attacked, "q=11", "bogus")) == rows(attacked, "q=11")


@pytest.mark.parametrize(("metric", "labels"), [(LossPath(), ("first", "last", "three-quarters", "highest")), (RestartLoss(), ("lowest", "highest"))])
def test_evidence_of_a_fair_try_is_off_the_trace_and_no_other_label_is(metric: Metric, labels: tuple[str, ...], nothing_added: Outcome) -> None:
    assert traced(metric, nothing_added, rows(nothing_added, *labels, "middle")) == rows(nothing_added, *labels)


def test_silent_success_is_off_the_trace() -> None:
    outcome = untraced(Bench.suited(SilentSuccess()), 0.3, [0, 1])
    assert traced(SilentSuccess(), outcome, rows(outcome, "", "bogus")) == rows(outcome, "")
