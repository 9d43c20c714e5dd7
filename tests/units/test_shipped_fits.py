"""What shipped specs train against shipped models on embedded data comes trained: a changed default would else cost a newcomer's demo minutes."""

from __future__ import annotations

import pytest

from medrobust.fitting import identity, shipped
from medrobust.resolve import resolve
from medrobust.targets import zoo
from medrobust.types import Trainable


@pytest.mark.parametrize("name", ["roi-demo", "roi", "seg-deform-demo", "seg-deform", "seg-deform-equal-p", "mammo-tamper-demo", "mammo-tamper"])
def test_every_trained_probe_of_a_shipped_spec_is_shipped(name: str) -> None:
    resolved = resolve(name)
    missing, found = [], 0
    for condition in resolved.conditions:
        assert condition.fit_dataset is not None
        for probe in condition.attacks:
            if not isinstance(probe.plugin, Trainable):
                continue
            for target in resolved.targets:
                if target.attacks and probe.label not in target.attacks:
                    continue
                weights = shipped(identity(probe.plugin, zoo.load(target.configured.name), condition.fit_dataset.digest, resolved.spec.seed))
                found += 1
                if weights is None:
                    missing.append(f"{target.configured.name}: {probe.label}")
    assert found
    assert not missing
