"""Metrics of norm-bounded attacks against plain numpy: who was fooled, how far the image moved, and the evidence that checks read."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from torch import Tensor

from medrobust.metrics.belief import CleanCorrect, LossPath, RestartLoss, SilentSuccess, SurvivesSaving
from medrobust.metrics.norm_bounded import ChangeL2, ChangeLinf, Fooled
from medrobust.metrics.perceptibility import ImageSSIM
from medrobust.types import Attacked, Batch, Case, Outcome

SHAPES = [(1, 9, 8), (3, 8, 8), (2, 7, 8, 9)]


@dataclass(frozen=True)
class Brightness:
    """Class 1 where the mean intensity is above `threshold`; probabilities (n, 1), or (n, 2) where there are two answers."""

    threshold: float = 0.5
    answers: int = 1
    task: str = "classification"
    digest: str = "0123456789ab"

    def __call__(self, image: Tensor, batch: Batch) -> Tensor:
        sure = (4 * (image.flatten(1).mean(1, dtype=torch.float64) - self.threshold)).sigmoid()[:, None]
        return sure if self.answers == 1 else torch.cat([1 - sure, sure], 1)

    def loss(self, image: Tensor, batch: Batch) -> Tensor:
        raise NotImplementedError

    def to(self, device: torch.device | str) -> Brightness:
        return self


def outcome(clean: Tensor, attacked: Tensor, truth: Tensor, target: Brightness | None = None, trace: Mapping[str, Tensor] | None = None) -> Outcome:
    batch = Batch(clean, truth, tuple(Case(f"case{i}", f"patient{i}", f"case{i}") for i in range(len(clean))))
    said = (target or Brightness())(attacked, batch)
    return Outcome(batch, Attacked(attacked, trace=trace or {}), said, target=target)


def flat(*levels: float) -> Tensor:
    return torch.tensor(levels).view(-1, 1, 1, 1).expand(-1, 1, 4, 4).contiguous()


def listed(values: Tensor) -> list[float | None]:
    """NaN as None, so that lists compare."""
    return [None if math.isnan(value) else value for value in values.tolist()]


@pytest.mark.parametrize("answers", [1, 2])
def test_fooled_counts_those_that_an_attack_turned(answers: int) -> None:
    truth = torch.tensor([1, 1, 1, 1, 0, 0])
    found = outcome(flat(0.9, 0.9, 0.1, 0.1, 0.1, 0.1), flat(0.8, 0.2, 0.2, 0.8, 0.9, 0.2), truth, Brightness(answers=answers))
    assert listed(Fooled()(found)) == [0, 1, None, None, 1, 0]
    assert CleanCorrect()(found).tolist() == [1, 1, 0, 0, 1, 1]


@pytest.mark.parametrize("metric", [Fooled(), CleanCorrect(), SurvivesSaving()], ids=lambda metric: metric.name)
def test_a_metric_that_must_ask_says_so_where_there_is_nobody_to_ask(metric: Callable[[Outcome], Tensor]) -> None:
    with pytest.raises(ValueError, match=r"^found no target to .*, expected one$"):
        metric(outcome(flat(0.9), flat(0.1), torch.tensor([1])))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_true_norms_are_numpys(shape: tuple[int, ...], scale: float) -> None:
    random = torch.Generator().manual_seed(1)
    clean, attacked = (scale * (torch.rand(4, *shape, generator=random) * 2 - 1) for _ in range(2))
    found = outcome(clean, attacked, torch.zeros(4, dtype=torch.int64))
    change = (attacked.numpy().astype(np.float64) - clean.numpy()).reshape(4, -1)
    assert np.allclose(ChangeLinf()(found), np.abs(change).max(1), rtol=1e-12)
    assert np.allclose(ChangeL2()(found), np.linalg.norm(change, axis=1), rtol=1e-12)


def test_norms_are_taken_in_double_precision() -> None:
    clean = torch.full((1, 1, 4, 4), 0.3)
    attacked = clean + 8 / 255
    moved = float(ChangeLinf()(outcome(clean, attacked, torch.tensor([0]))))
    assert moved == float(attacked[0, 0, 0, 0].double()) - float(clean[0, 0, 0, 0].double())


def test_the_path_of_a_loss_is_read_where_it_says() -> None:
    random = np.random.default_rng(0)
    for queries in (1, 2, 3, 4, 5, 8, 101):
        path = random.normal(size=(3, queries))
        found = LossPath()(outcome(flat(0, 0, 0), flat(0, 0, 0), torch.zeros(3, dtype=torch.int64), trace={"loss": torch.from_numpy(path)}))
        early = [max(row[: -(-3 * queries // 4)]) for row in path]
        assert found["first"].tolist() == path[:, 0].tolist()
        assert found["last"].tolist() == path[:, -1].tolist()
        assert found["highest"].tolist() == path.max(1).tolist()
        assert found["three-quarters"].tolist() == early


def test_a_path_that_climbs_to_its_end_shows_it() -> None:
    climbing, flattening = torch.arange(8.0), torch.tensor([0.0, 4, 6, 7, 7, 7, 7, 7])
    found = LossPath()(outcome(flat(0, 0), flat(0, 0), torch.tensor([0, 0]), trace={"loss": torch.stack([climbing, flattening])}))
    assert (found["highest"] - found["three-quarters"]).tolist() == [2, 0]


def test_a_path_ends_with_the_last_query_of_its_case() -> None:
    random = np.random.default_rng(1)
    path, asked = random.normal(size=(5, 12)), [12, 7, 4, 1, 0]
    for row, count in enumerate(asked):
        path[row, count:] = np.nan
    truth = torch.zeros(5, dtype=torch.int64)
    found = LossPath()(outcome(flat(*[0] * 5), flat(*[0] * 5), truth, trace={"loss": torch.from_numpy(path)}))
    own = [LossPath()(outcome(flat(0), flat(0), truth[:1], trace={"loss": torch.from_numpy(path[[row], :count])})) for row, count in enumerate(asked)]
    assert {label: listed(values) for label, values in found.items()} == {label: [listed(one[label])[0] for one in own] for label in found}
    assert listed(found["highest"])[4] is None


def test_a_loss_that_is_no_number_gives_no_row_and_spoils_no_other() -> None:
    trace = torch.tensor([[1.0, math.nan, 2.0], [1.0, 3.0, 2.0], [math.inf, 1.0, 1.0]])
    found = LossPath()(outcome(flat(0, 0, 0), flat(0, 0, 0), torch.tensor([0, 0, 0]), trace={"loss": trace}))
    assert listed(found["highest"]) == [None, 3, None]
    assert listed(found["last"]) == [2, 2, 1]
    ends = RestartLoss()(outcome(flat(0, 0, 0), flat(0, 0, 0), torch.tensor([0, 0, 0]), trace={"restart": trace}))
    assert listed(ends["lowest"]) == [None, 1, 1]


def test_a_success_that_was_not_returned_is_seen() -> None:
    succeeded = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 1.0, 1.0], [1.0, 0.0, 0.0]])
    truth = torch.tensor([1, 1, 1, 0])
    found = outcome(flat(0.9, 0.9, 0.9, 0.1), flat(0.8, 0.8, 0.2, 0.2), truth, Brightness(), {"success": succeeded})
    assert SilentSuccess()(found).tolist() == [1, 0, 0, 1]


def test_restarts_that_differ_are_seen() -> None:
    ends = torch.tensor([[1.0, 5.0, 2.0], [3.0, 3.0, 3.0]])
    found = RestartLoss()(outcome(flat(0, 0), flat(0, 0), torch.tensor([0, 0]), trace={"restart": ends}))
    assert (found["lowest"].tolist(), found["highest"].tolist()) == ([1, 3], [5, 3])


def test_what_an_attack_does_not_say_has_no_value() -> None:
    found = outcome(flat(0.9, 0.1), flat(0.9, 0.1), torch.tensor([1, 0]), Brightness())
    empty = outcome(flat(0.9), flat(0.9), torch.tensor([1]), Brightness(), {name: torch.zeros(1, 0) for name in ("loss", "success", "restart")})
    for seen in (found, empty):
        for values in (*LossPath()(seen).values(), *RestartLoss()(seen).values(), SilentSuccess()(seen)):
            assert values.shape == (len(seen.batch),)
            assert bool(values.isnan().all())


def test_a_change_below_half_a_unit_does_not_survive_whole_units() -> None:
    threshold = Brightness(threshold=100.25)
    found = outcome(flat(100.0, 100.0, 100.0), flat(100.4, 101.0, 100.0), torch.tensor([0, 0, 0]), threshold)
    assert listed(SurvivesSaving(whole=True)(found)) == [0, 1, None]


def test_a_change_below_half_a_step_of_eight_bits_does_not_survive() -> None:
    step = 1 / 255
    clean = flat(100 * step, 100 * step)
    attacked = clean + torch.tensor([0.4 * step, 0.6 * step]).view(-1, 1, 1, 1)
    found = outcome(clean, attacked, torch.tensor([0, 0]), Brightness(threshold=100.2 * step))
    assert SurvivesSaving(low=0, high=1)(found).tolist() == [0, 1]
    assert SurvivesSaving(low=0, high=1, levels=65536)(found).tolist() == [1, 1]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_saving_rounds_as_numpy_does(shape: tuple[int, ...]) -> None:
    image = torch.randn(3, *shape, generator=torch.Generator().manual_seed(2)) * 400
    own = SurvivesSaving().saved(image).numpy().reshape(3, -1)
    for row, one in zip(image.numpy().astype(np.float64).reshape(3, -1), own, strict=True):
        codes = np.rint((row - row.min()) / (row.max() - row.min()) * 255)
        assert np.allclose(one, row.min() + codes * (row.max() - row.min()) / 255, atol=1e-3)
        assert len(np.unique(one)) <= 256
    assert torch.equal(SurvivesSaving(whole=True).saved(image), torch.from_numpy(np.rint(image.numpy())))
    cut = SurvivesSaving(low=-100.0, high=100.0).saved(image)
    assert (float(cut.min()), float(cut.max())) == pytest.approx((-100, 100))


def test_an_image_of_one_intensity_is_saved_as_it_is() -> None:
    assert torch.equal(SurvivesSaving().saved(flat(0.3)), flat(0.3))


@pytest.mark.parametrize("options", [{"levels": 1}, {"low": 1.0, "high": 0.0}, {"low": 1.0, "high": 1.0}], ids=json.dumps)
def test_files_that_cannot_be_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        SurvivesSaving(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_similarity_of_images_that_are_no_ct_is_taken_in_the_clean_images_range(shape: tuple[int, ...]) -> None:
    random = torch.Generator().manual_seed(3)
    clean = torch.rand(2, *shape, generator=random)
    attacked = clean + 0.1 * torch.randn(2, *shape, generator=random)
    found = ImageSSIM()(outcome(clean, attacked, torch.tensor([0, 0]))).tolist()
    for one, other, value in zip(clean.double().numpy(), attacked.double().numpy(), found, strict=True):
        low, high = one.min(), one.max()
        shown = np.clip(other, low, high)
        wanted = structural_similarity(one, shown, data_range=high - low, channel_axis=0, win_size=7)
        assert value == pytest.approx(wanted)
        assert value < 0.99
    assert ImageSSIM()(outcome(1000 * clean, 1000 * attacked, torch.tensor([0, 0]))).tolist() == pytest.approx(found, rel=1e-5)


def test_a_destroyed_image_is_told_from_one_that_was_touched() -> None:
    random = torch.Generator().manual_seed(4)
    clean = torch.rand(1, 1, 32, 32, generator=random).cumsum(2) / 32
    noise = torch.randn(1, 1, 32, 32, generator=random)
    touched, destroyed = (float(ImageSSIM()(outcome(clean, clean + size * noise, torch.tensor([0])))) for size in (0.005, 1.0))
    assert touched > 0.9
    assert destroyed < 0.3


def test_similarity_to_a_blank_image_has_no_value() -> None:
    assert bool(ImageSSIM()(outcome(flat(0.3), flat(0.4), torch.tensor([0]))).isnan().all())
