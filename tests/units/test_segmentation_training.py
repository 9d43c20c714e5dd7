"""A segmenter is trained on patches, judged by Dice, and seen through its task."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from medrobust.randomness import CaseRandom
from medrobust.targets.seg_unet import SegUNet
from medrobust.targets.segmentation import SegmentationTarget, entropy
from medrobust.testing.bench import Bench
from medrobust.testing.slices import ORGANS
from medrobust.training.decoded import decoded
from medrobust.training.loop import train
from medrobust.training.patches import Patches
from medrobust.training.schedule import Schedule
from medrobust.training.segmentation import answers, figures, validate
from medrobust.training.watch import Validation
from medrobust.types import Batch


@pytest.fixture
def bench() -> Bench:
    return Bench.suited(None, "segmentation")


@pytest.fixture
def batch(bench: Bench) -> Batch:
    return bench.batch()


def random(batch: Batch) -> CaseRandom:
    return CaseRandom.of(range(len(batch)))


def test_the_target_sees_z_scores_and_answers_in_log_probabilities(bench: Bench, batch: Batch) -> None:
    target = bench.target()
    logs = target(batch.image, batch)
    assert torch.allclose(logs.exp().sum(1), torch.ones(len(batch), bench.size, bench.size), atol=1e-5)
    by_hand = torch.nn.functional.cross_entropy(target.network(batch.image / 120), batch.truth[:, 0], reduction="none").mean((1, 2))
    assert torch.allclose(target.loss(batch.image, batch), by_hand, atol=1e-5)
    shifted = batch.with_context(mean=torch.full((len(batch),), 50.0))
    assert not torch.allclose(target.loss(batch.image, shifted), by_hand)
    assert torch.allclose(target.loss(batch.image + 50, shifted), by_hand, atol=1e-4)


def test_entropy_is_zero_for_a_certain_answer_and_large_for_a_wrong_one(batch: Batch) -> None:
    sure = nn.functional.one_hot(batch.truth[:, 0], 5).movedim(-1, 1).float().clamp_min(1e-9).log()
    assert entropy(sure, batch.truth).max() < 1e-6
    assert entropy(sure.roll(1, 1), batch.truth).min() > 10


def test_patches_keep_image_and_truth_together(bench: Bench, batch: Batch) -> None:
    marked = replace(batch, image=batch.truth.float())
    for size, centred in ((16, 0.0), (16, 1.0), (20, 0.5), (500, 0.5)):
        cut = Patches(size=size, centred=centred).cut(marked, random(batch))
        edge = min(size, bench.size)
        assert cut.image.shape == cut.truth.shape == (len(batch), 1, edge, edge)
        assert torch.equal(cut.image, cut.truth.float())


def test_centred_patches_hold_an_organ_and_the_others_lie_anywhere(batch: Batch) -> None:
    alone = torch.zeros_like(batch.truth)
    alone[:, :, 1, 30] = 3
    rare = replace(batch, truth=alone)
    draws = [CaseRandom.of(range(start, start + len(batch))) for start in range(0, 160, len(batch))]
    held = {
        share: sum(bool((one == 3).any()) for rng in draws for one in Patches(size=16, centred=share).cut(rare, rng).truth) for share in (0.0, 1.0)
    }
    assert held[1.0] == 160
    assert held[0.0] < 120
    empty = replace(batch, truth=torch.zeros_like(batch.truth))
    assert not Patches(size=16, centred=1.0).cut(empty, random(batch)).truth.any()


def test_variations_stay_within_what_is_declared(batch: Batch) -> None:
    still = Patches(gain=0, offset=0, noise=0).varied(batch, random(batch))
    assert torch.equal(still.image, batch.image)
    moved = Patches(gain=0, offset=15, noise=0).varied(batch, random(batch)).image - batch.image
    assert moved.abs().max() <= 15.001
    assert moved.flatten(1).std(1).max() < 1e-3
    assert moved.mean((1, 2, 3)).unique().numel() == len(batch)
    noisy = Patches(gain=0, offset=0, noise=10).varied(batch, random(batch)).image - batch.image
    assert 0 < noisy.std() < 10


@pytest.mark.parametrize(
    ("options", "message"),
    [({"size": 8}, "size: found 8"), ({"centred": 1.5}, "at most 1"), ({"noise": -1}, "noise: found -1"), ({"gain": float("nan")}, "gain: found n")],
)
def test_impossible_patches_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Patches(**options)  # type: ignore[arg-type]


def trained(bench: Bench, steps: int, folder: Path | None = None, stop: int | None = None) -> SegmentationTarget:
    """A small network after that many steps, interrupted once where `stop` says so."""
    torch.manual_seed(0)
    network = SegUNet(widths=(6, 6, 8, 8, 8)).build()
    target = SegmentationTarget(network, "training")
    schedule = Schedule(steps=steps, batch=4, learning_rate=0.01, warmup=2)

    def until(step: int, _: float) -> None:
        if step == stop:
            raise KeyboardInterrupt

    if stop:
        with pytest.raises(KeyboardInterrupt):
            train(target, network, Patches(size=24), bench.data(), schedule, folder, until)
    train(target, network, Patches(size=24), bench.data(), schedule, folder, lambda *_: None)
    return target


def test_a_training_learns_the_organs(bench: Bench) -> None:
    before, after = (validate(trained(bench, steps), bench.data(), "cpu") for steps in (1, 80))
    assert after["loss"] < before["loss"] / 2
    assert after["dice"] > before["dice"] + 0.25


def test_a_training_resumes_to_equal_weights(tmp_path: Path, bench: Bench) -> None:
    whole, resumed = trained(bench, 6), trained(bench, 6, tmp_path, stop=3)
    for one, other in zip(whole.network.state_dict().values(), resumed.network.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_figures_name_every_organ_with_its_interval(bench: Bench) -> None:
    found = figures(bench.target(), bench.data(), "cpu")
    for organ in ORGANS:
        assert found[f"dice@test {organ} low"] <= found[f"dice@test {organ}"] <= found[f"dice@test {organ} high"]
    assert found["dice@test"] == pytest.approx(sum(found[f"dice@test {organ}"] for organ in ORGANS) / len(ORGANS))
    assert 0.6 < found["dice@val"] < 0.9  # its outlines are blurred
    assert {"loss@val", "loss@test"} <= found.keys()


def test_answers_are_a_value_a_subject(bench: Bench) -> None:
    found = answers(bench.target(), bench.data(), "test", "cpu")
    assert [patient for patient, _ in found["liver"]] == ["patient0", "patient1"]


def test_every_class_counts_where_the_data_do_not_name_their_organs(bench: Bench, tmp_path: Path) -> None:
    data = bench.data()
    with decoded(data, tmp_path) as nameless:
        assert validate(bench.target(), nameless, "cpu") == pytest.approx(validate(bench.target(), data, "cpu"))
        assert set(answers(bench.target(), nameless, "val", "cpu")) == {"", "loss", "label 1", "label 2", "label 3", "label 4"}


def test_the_best_look_may_be_that_of_the_highest_dice() -> None:
    looks = [{"loss": 0.3, "dice": 0.8}, {"loss": 0.2, "dice": 0.7}]
    assert max(looks, key=Validation(1, "dice").worth) is looks[0]
    assert max(looks, key=Validation(1, "loss").worth) is looks[1]
    with pytest.raises(ValueError, match="by: found"):
        Validation(1, "accuracy")


@pytest.mark.parametrize(
    ("options", "message"),
    [({"widths": (4, 4)}, "expected five"), ({"classes": 1}, "at least 2"), ({"norm": "group"}, "batch, instance"), ({"dropout": 1.0}, "dropout")],
)
def test_an_impossible_network_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SegUNet(**options)  # type: ignore[arg-type]


def test_the_published_width_can_be_built() -> None:
    assert SegUNet().build()(torch.zeros(1, 1, 32, 48)).shape == (1, 5, 32, 48)
