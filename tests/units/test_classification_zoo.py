"""The shipped classifier: what its card says, at a size and cost that fit, on cases it was not trained on."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from torch import Tensor

from medrobust.data.glioma_phantom import GliomaPhantom
from medrobust.imaging.volumes import centre_cube
from medrobust.targets import zoo
from medrobust.targets.classification import ClassificationTarget
from medrobust.training.recipe import recipe

NAME = "roi-resnet"
VALIDATION, TEST = 0.86, 0.83
"""Areas under the curve of the classifier in Rajapaksa and Khalvati 2022."""


def test_the_card_states_at_least_the_papers_areas() -> None:
    figures = zoo.card(NAME).figures
    assert figures["auc@val"] >= VALIDATION
    assert figures["auc@test"] >= TEST
    for split in ("val", "test"):
        assert figures[f"auc@{split} low"] <= figures[f"auc@{split}"] <= figures[f"auc@{split} high"]
        assert figures[f"auc@{split} low"] > 0.5


def test_the_card_is_of_these_data_and_of_the_recipe() -> None:
    card, made = zoo.card(NAME), recipe(NAME)
    assert card.training["data_digest"] == made.build_data().digest == GliomaPhantom().digest
    assert card.options == made.options
    schedule = vars(made.build_schedule())
    assert card.training["schedule"] == {name: schedule[name] for name in card.training["schedule"]}
    assert card.training["validation"]["chosen"]["step"] <= schedule["steps"]
    assert card.training["patients"] == 133


def test_the_weights_are_small_and_load_as_a_classifier() -> None:
    weights = files("medrobust.zoo") / NAME / "weights.safetensors"
    assert len(weights.read_bytes()) < 600_000
    target = zoo.load(NAME)
    assert isinstance(target, ClassificationTarget)
    image = torch.rand(2, 4, 32, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        both = target.logits(image)
        torch.testing.assert_close(both, torch.cat([target.logits(image[i : i + 1]) for i in range(2)]), rtol=1e-4, atol=1e-5)
    assert both.shape == (2, 1)


def test_the_answer_hangs_on_the_core_of_a_high_grade(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it a high grade is called low, without its oedema it is not; a low grade stays one, and the mirrored place may be blanked."""
    monkeypatch.setenv("MEDROBUST_CACHE", str(tmp_path))
    target, data = zoo.load(NAME), GliomaPhantom(train=0, val=5)
    batch = data.load(data.cases("val"))
    labels = [nibabel.load(path).get_fdata() for path in sorted(data.make("val").rglob("*_seg.nii.gz"))]
    core = torch.from_numpy(np.stack([centre_cube(np.isin(one, (1, 4))[None], 64) for one in labels]))
    tumour, high = batch.context["tumour"], batch.truth == 1
    elsewhere = tumour.flip(2) & ~tumour

    def without(hidden: Tensor) -> Tensor:
        with torch.inference_mode():
            return target(batch.image * ~hidden, batch)[:, 0]

    clean = without(torch.zeros_like(tumour))
    assert (clean - without(tumour))[high].mean() > 0.4
    assert (clean - without(core))[high].mean() > 0.4
    assert (clean - without(tumour & ~core))[high].abs().mean() < 0.2
    assert (clean - without(tumour))[~high].abs().mean() < 0.1
    assert (clean - without(elsewhere)).abs().mean() < 0.1
