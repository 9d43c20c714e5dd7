"""Training a generator: seeded, resumable, the best epoch kept, the target left alone, and finite whatever the classifier says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from medrobust.errors import CellError
from medrobust.files import read_json
from medrobust.fitting import fitted, identity
from medrobust.guard import Fingerprint
from medrobust.targets.classification import ClassificationTarget
from medrobust.testing.volumes import Reader, VolumeData
from medrobust.types import Batch, Case
from medrobust_attacks.perturbation.assessment import Assessment
from medrobust_attacks.perturbation.attack import GlobalPerturbationAttack
from medrobust_attacks.perturbation.generator import Generator
from medrobust_attacks.perturbation.global_mask import PUBLISHED, GlobalPerturbation
from medrobust_attacks.perturbation.loss import GlobalLoss
from medrobust_attacks.perturbation.random_mask import RandomMask
from medrobust_attacks.perturbation.training import CHECKPOINT, HISTORY, Training

SMALL = GlobalPerturbation(Generator((4, 4)), epochs=3, batch=2)
SIZE = 12


@dataclass(frozen=True)
class Splits(VolumeData):
    """The bench's volumes, two for training and two for validation."""

    def cases(self, split: str) -> list[Case]:
        return list(super().cases(split))[slice(2) if split == "train" else slice(2, 4)]


class Saturated(nn.Module):
    """Says class 0 at p = 1e-6, whatever it sees, with next to no slope."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(0.1))

    def forward(self, image: Tensor) -> Tensor:
        return self.gain * image.flatten(1).mean(1, keepdim=True) - 14


def target(network: nn.Module | None = None) -> ClassificationTarget:
    return ClassificationTarget((network or Reader()).eval(), digest="0123456789ab")


def silent(step: int, steps: int, loss: float) -> None:
    pass


def fit(folder: Path, settings: GlobalPerturbation = SMALL, seed: int = 0, report: Callable[[int, int, float], None] = silent) -> dict[str, Tensor]:
    return dict(settings.fit(target(), Splits(SIZE), seed, folder, report))


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


@pytest.mark.parametrize("size", [(8, 8, 8), (9, 7, 5), (1, 1, 1)])
@pytest.mark.parametrize(("activation", "low", "high"), [("sigmoid", 0, 1), ("1+tanh", 0, 2), ("linear", -100, 100)])
def test_a_mask_has_the_volume_s_shape_and_the_activation_s_range(size: tuple[int, int, int], activation: str, low: float, high: float) -> None:
    network = Generator((4, 4, 2), activation=activation).build(0, 4)
    mask = network(torch.rand(2, 4, *size)).detach()
    assert mask.shape == (2, 4, *size)
    assert low <= float(mask.amin()) <= float(mask.amax()) <= high


def test_a_bias_starts_the_mask_near_the_identity_and_not_on_it() -> None:
    mask = Generator(bias=3.0).build(0, 4)(torch.rand(1, 4, 8, 8, 8)).detach()
    assert 0.85 < float(mask.mean()) < 0.99
    assert float(mask.max()) < 1


def test_a_seed_alone_determines_the_start_and_no_global_generator_is_moved() -> None:
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(len(states))
        before = torch.get_rng_state()
        states.append(Generator((4, 4)).build(seed, 4).state_dict())
        assert torch.equal(before, torch.get_rng_state())
    assert equal(states[0], states[1])
    assert not equal(states[0], states[2])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Generator((4,)), r"widths: found \[4\]"),
        (lambda: Generator((4, 1)), "each at least 2"),
        (lambda: Generator(stride=0), "stride: found 0"),
        (lambda: Generator(activation="relu"), "activation: found 'relu', expected one of sigmoid, linear, 1\\+tanh"),
        (lambda: Generator(bias=18.0), "bias: found 18.0"),
        (lambda: GlobalPerturbation(epochs=0), "epochs: found 0"),
        (lambda: GlobalPerturbation(batch=0), "batch: found 0"),
        (lambda: GlobalPerturbation(learning_rate=0.0), "learning_rate: found 0.0"),
        (lambda: RandomMask(knots=1), "knots: found 1"),
    ],
)
def test_impossible_settings_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_the_published_setting_can_be_built() -> None:
    assert (PUBLISHED.learning_rate, PUBLISHED.epochs, PUBLISHED.generator.stride) == (0.1, 200, 1)
    PUBLISHED.generator.build(0, 4)


def test_training_lowers_the_loss_and_keeps_the_best_epoch(tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    longer = replace(SMALL, epochs=6)
    kept = fit(tmp_path, longer, report=lambda step, of, loss: steps.append((step, of)))
    history = read_json(tmp_path / HISTORY)
    assert steps == [(step, 6) for step in range(1, 7)], "one batch of two an epoch"
    assert [figures["epoch"] for figures in history] == [1, 2, 3, 4, 5, 6]
    losses = [figures["loss"] for figures in history]
    assert min(losses) < losses[0]
    best = losses.index(min(losses)) + 1
    until_best = fit(tmp_path / "shorter", replace(longer, epochs=best))
    assert equal(kept, until_best)


def test_of_several_epochs_the_one_of_the_lowest_validation_loss_is_kept_and_without_one_the_last(tmp_path: Path) -> None:
    def run(losses: list[float] | None, folder: Path) -> float:
        network = nn.Linear(1, 1)
        figures: Iterator[dict[str, Any]] = iter([{} if losses is None else {"loss": loss} for loss in losses or range(3)])

        def steps(epoch: int) -> Iterator[Tensor]:
            nn.init.constant_(network.bias, epoch)
            yield 0.0 * network.bias.sum()

        return float(Training(network, steps, lambda: next(figures), 3, 1, 1e-9, folder, silent).run()["bias"])

    assert run([3.0, 1.0, 2.0], tmp_path / "a") == pytest.approx(1, abs=1e-6)
    assert run([1.0, 1.0, 1.0], tmp_path / "b") == pytest.approx(0, abs=1e-6)
    assert run(None, tmp_path / "c") == pytest.approx(2, abs=1e-6)


@pytest.mark.parametrize("stop", [2, 4])
def test_an_interrupted_training_ends_with_the_weights_of_an_undisturbed_one(tmp_path: Path, stop: int) -> None:
    longer = replace(SMALL, epochs=3, batch=1)

    def interrupt(step: int, steps: int, loss: float) -> None:
        if step == stop + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "broken", longer, report=interrupt)
    first: list[int] = []
    whole = fit(tmp_path / "whole", longer)
    resumed = fit(tmp_path / "broken", longer, report=lambda step, steps, loss: first.append(step))
    assert first[0] == stop + 1, "whole epochs that were done are not done again"
    assert equal(whole, resumed)
    assert (tmp_path / "whole" / HISTORY).read_bytes() == (tmp_path / "broken" / HISTORY).read_bytes()


def test_the_seed_alone_determines_the_weights(tmp_path: Path) -> None:
    torch.manual_seed(1)
    one = fit(tmp_path / "one")
    torch.manual_seed(2)
    assert equal(one, fit(tmp_path / "two"))
    assert not equal(one, fit(tmp_path / "three", seed=1))


def test_the_target_is_left_alone_and_must_not_be_in_training_mode(tmp_path: Path) -> None:
    victim = target()
    before, flags = Fingerprint.of(victim), [parameter.requires_grad for parameter in victim.network.parameters()]
    SMALL.fit(victim, Splits(SIZE), 0, tmp_path, silent)
    assert not before.changes(Fingerprint.of(victim))
    assert [parameter.requires_grad for parameter in victim.network.parameters()] == flags
    assert all(parameter.grad is None for parameter in victim.network.parameters())
    victim.network.train()
    with pytest.raises(ValueError, match="found a target in training mode, expected one in evaluation mode"):
        SMALL.fit(victim, Splits(SIZE), 0, tmp_path / "other", silent)


def test_training_is_possible_where_gradients_are_off(tmp_path: Path) -> None:
    with torch.no_grad():
        off = fit(tmp_path / "off")
    assert equal(off, fit(tmp_path / "on"))


def test_a_loss_that_is_not_finite_is_one_clear_line_and_the_checkpoint_stands(tmp_path: Path) -> None:
    network = nn.Linear(1, 1)

    def steps(epoch: int) -> Iterator[Tensor]:
        yield network.weight.sum() * (torch.nan if epoch == 1 else 1)

    with pytest.raises(
        CellError, match=r"^training diverged: found loss nan at epoch 2, step 1, expected a finite number; lower learning_rate, now 0.5$"
    ):
        Training(network, steps, dict, 3, 1, 0.5, tmp_path, silent).run()
    assert (tmp_path / CHECKPOINT).is_file()
    with pytest.raises(CellError, match="found loss inf at validation after epoch 1"):
        Training(nn.Linear(1, 1), lambda _: iter([network.weight.sum()]), lambda: {"loss": torch.inf}, 3, 1, 0.5, tmp_path / "other", silent).run()


@pytest.mark.parametrize("bias", [0.0, 16.0])
def test_training_stays_finite_against_a_saturated_classifier_and_from_next_to_the_identity(tmp_path: Path, bias: float) -> None:
    settings = replace(SMALL, generator=Generator((4, 4), bias=bias), learning_rate=0.1)
    weights = settings.fit(target(Saturated()), Splits(SIZE), 0, tmp_path, silent)
    assert all(tensor.isfinite().all() for tensor in weights.values())
    batch = Splits(SIZE).load(Splits(SIZE).cases("val"))
    assert settings.mask(weights, batch.image).isfinite().all()


def test_no_case_to_train_or_validate_on_is_an_error_line(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Empty(Splits):
        without: ClassVar[str] = ""

        def cases(self, split: str) -> list[Case]:
            return [] if split == self.without else super().cases(split)

    for name in ("train", "val"):
        Empty.without = name
        with pytest.raises(ValueError, match=f"found no case in split '{name}', expected at least one"):
            SMALL.fit(target(), Empty(SIZE), 0, tmp_path, silent)


def test_probes_of_equal_settings_share_one_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDROBUST_CACHE", str(tmp_path))
    data, steps = Splits(SIZE), []
    attack: Any = fitted(GlobalPerturbationAttack(training=SMALL), target(), data, 0, lambda step, of, loss: steps.append(step))
    control: Any = fitted(RandomMask(training=SMALL), target(), data, 0, lambda step, of, loss: steps.append(step))
    assert steps == [1, 2, 3]
    assert equal(attack.weights, control.weights)
    assert attack == GlobalPerturbationAttack(training=SMALL), "weights are no part of a configuration"
    others = [replace(SMALL, learning_rate=0.1), replace(SMALL, loss=GlobalLoss(alpha=1.0)), replace(SMALL, generator=Generator((4, 4), bias=1.0))]
    names = [identity(GlobalPerturbationAttack(training=one), target(), "data", 0) for one in (SMALL, *others)]
    assert len(set(names)) == 4


def test_the_figures_of_a_training_tell_a_sequence_that_is_only_shut_off() -> None:
    image = torch.rand(2, 4, 3, 3, 3) + 0.1
    image[:, :, 0] = 0
    mask = torch.rand(2, 4, 3, 3, 3) * 0.5 + 0.25
    mask[:, 1, 1:] = 1e-4
    found = Assessment()
    before, after = torch.tensor([0.9, 0.2]), torch.tensor([0.1, 0.3])
    for i in range(2):
        found.add({"term": torch.tensor([float(i)])}, before[i : i + 1], after[i : i + 1], image[i : i + 1], mask[i : i + 1])
    figures = found.figures(("T1w", "T1ce", "T2w", "FLAIR"))
    assert figures["modality shut-off"] == ["T1ce"]
    assert figures["loss"] == 0.5
    assert figures["flip rate"] == {"HGG->LGG": 1.0, "LGG->HGG": 0.0}
    assert figures["saturated"] == pytest.approx(0.25)
    inside = mask[:, 2, 1:].double()
    assert figures["mask mean"]["T2w"] == pytest.approx(float(inside.mean()))
    assert figures["mask std"]["T2w"] == pytest.approx(float(inside.std(correction=0)))


def test_a_direction_in_which_no_case_could_flip_has_no_rate_and_an_empty_volume_no_mask() -> None:
    found = Assessment()
    image = torch.zeros(1, 4, 2, 2, 2)
    found.add({"term": torch.zeros(1)}, torch.tensor([0.9]), torch.tensor([0.8]), image, torch.ones_like(image))
    figures = found.figures("abcd")
    assert figures["flip rate"] == {"HGG->LGG": 0.0, "LGG->HGG": None}
    assert figures["mask mean"] == dict.fromkeys("abcd", 0.0)


def test_a_generator_without_weights_says_so() -> None:
    image = torch.zeros(1, 4, 4, 4, 4)
    with pytest.raises(ValueError, match="ogp: found no weights, expected those that `fit` gives"):
        GlobalPerturbationAttack().mask(image)


def test_a_volume_is_masked_alike_alone_and_among_others(tmp_path: Path) -> None:
    weights = Generator((4, 4)).build(0, 4).state_dict()
    batch: Batch = VolumeData(SIZE).load(VolumeData(SIZE).cases("test"))
    whole = SMALL.mask(weights, batch.image)
    assert torch.equal(whole[2:3], SMALL.mask(weights, batch.image[2:3]))
    assert not whole.requires_grad
