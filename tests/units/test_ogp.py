"""The learned explainers: what a map is made of, what is ranked, and what the local generator sees and changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from medrobust.fitting import identity
from medrobust.guard import Guarded
from medrobust.imaging.superpixels import Superpixels
from medrobust.outcomes import check_explained
from medrobust.testing.bench import Bench
from medrobust.testing.volumes import VolumeData
from medrobust.types import Batch, Case, Explained
from medrobust_attacks.perturbation.aggregation import BINNINGS, SCORES, overlay
from medrobust_attacks.perturbation.attack import GlobalPerturbationAttack
from medrobust_attacks.perturbation.budget import MaskBudget
from medrobust_attacks.perturbation.generator import Generator
from medrobust_attacks.perturbation.global_mask import GlobalPerturbation
from medrobust_attacks.perturbation.local_attack import LocalPerturbationAttack
from medrobust_attacks.perturbation.local_mask import Lesson, LocalMask, LocalPerturbation, boxes
from medrobust_attacks.perturbation.ogp import OptimizedGlobalPerturbation
from medrobust_attacks.perturbation.optimal_local import OptimalLocal
from medrobust_attacks.perturbation.training import Split

BENCH = Bench(size=12, task="classification")
SETTINGS = GlobalPerturbation(Generator((4, 4)))
WEIGHTS = SETTINGS.generator.build(3, 4).state_dict()
GLOBAL = OptimizedGlobalPerturbation(segments=30, compactness=5.0, training=SETTINGS, weights=WEIGHTS)
FEW = LocalPerturbation(Generator((4, 2), stride=1), volumes=2, epochs=2, superpixels=6, batch=3)
LOCAL = OptimalLocal(segments=30, compactness=5.0, training=FEW)


@pytest.fixture(autouse=True)
def _cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MEDROBUST_CACHE", str(tmp_path / "cache"))


def explained(explainer: OptimizedGlobalPerturbation | OptimalLocal, batch: Batch) -> tuple[Explained, Guarded]:
    target = Guarded(BENCH.target(), explainer.threat)
    found = explainer(target, batch, BENCH.random(batch.cases))
    return check_explained(batch, found), target


def silent(step: int, steps: int, loss: float) -> None:
    pass


def plain_map(explainer: OptimizedGlobalPerturbation, batch: Batch, case: int, regions: Tensor) -> Tensor:
    """Relevance of each superpixel of one case, one after the other, (K,)."""
    image = batch.image[case]
    mask = explainer.mask(batch.image)[case]
    voxels = {"mask": mask, "one-minus-mask": (1 - mask).abs(), "change": (mask * image - image).abs()}[explainer.score]
    each = [voxels[:, regions == label].double().sum() for label in range(int(regions.max()) + 1)]
    size = torch.tensor([int((regions == label).sum()) for label in range(len(each))])
    return torch.stack(each) / (size if explainer.reduce == "mean" else 1)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("reduce", ["sum", "mean"])
def test_a_superpixel_gets_the_sum_or_mean_of_its_voxels_over_all_sequences(score: str, reduce: str) -> None:
    batch, explainer = BENCH.batch(), replace(GLOBAL, score=score, reduce=reduce)
    found, target = explained(explainer, batch)
    assert found.regions is not None
    assert torch.equal(found.regions, Superpixels(segments=30, compactness=5.0).partition(batch.image))
    assert (target.passes.forward, target.passes.gradient) == (0, 0)
    for case in range(2):
        regions = found.regions[case]
        assert torch.allclose(found.relevance[case].double(), plain_map(explainer, batch, case, regions)[regions], rtol=1e-5)


def test_cells_add_up_what_each_sequence_gives_its_own_superpixels() -> None:
    batch, explainer = BENCH.batch(), replace(GLOBAL, score="mask", reduce="sum", rank_unit="cell")
    found, _ = explained(explainer, batch)
    mask, added = explainer.mask(batch.image)[1], torch.zeros(12, 12, 12, dtype=torch.float64)
    for channel in range(4):
        regions = Superpixels(sequence=channel, segments=30, compactness=5.0).partition(batch.image)[1]
        for label in range(int(regions.max()) + 1):
            added[regions == label] += mask[channel][regions == label].double().sum()
    assert torch.allclose(found.relevance[1].double(), added, rtol=1e-5)


@pytest.mark.parametrize("binning", BINNINGS)
def test_bins_are_the_cells_put_together_by_value(binning: str) -> None:
    batch = BENCH.batch()
    cells, _ = explained(replace(GLOBAL, rank_unit="cell"), batch)
    bins, _ = explained(replace(GLOBAL, rank_unit="bin", bins=4, binning=binning), batch)
    assert cells.regions is not None
    assert bins.regions is not None
    for case in range(4):
        number, value = bins.relevance[case], cells.relevance[case].double()
        assert set(number.unique().tolist()) <= {0, 1, 2, 3}
        assert all(len(number[cells.regions[case] == label].unique()) == 1 for label in range(int(cells.regions[case].max()) + 1))
        assert len(bins.regions[case].unique()) == len(number.unique()) == int(bins.regions[case].max()) + 1
        if binning == "width":
            edges = np.linspace(float(value.min()), float(value.max()), 5)
            assert np.array_equal(number.numpy(), np.clip(np.digitize(value.numpy(), edges[1:-1]), 0, 3))
        else:
            own = torch.stack([number[cells.regions[case] == label][0] for label in range(int(cells.regions[case].max()) + 1)])
            share = own.long().bincount(minlength=4) / len(own)
            assert (share - 0.25).abs().max() <= 1 / len(own), "no two cells with intensity have one value"


@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(2, 12))
def test_voxels_share_a_cell_where_they_share_their_region_in_every_partition(seed: int, count: int, voxels: int) -> None:
    partitions = torch.randint(0, 3, (count, voxels), generator=torch.Generator().manual_seed(seed))
    cells = overlay(partitions)
    for i in range(voxels):
        for j in range(voxels):
            assert bool(cells[i] == cells[j]) == torch.equal(partitions[:, i], partitions[:, j])
    if count > 1:
        assert sorted(set(cells.tolist())) == list(range(int(cells.max()) + 1))


@given(st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=30), st.integers(2, 6))
def test_a_higher_value_is_never_in_a_lower_bin_and_equal_ones_share_theirs(values: list[float], bins: int) -> None:
    given_values = torch.tensor(values).double()
    for binning in BINNINGS.values():
        number = binning(given_values, bins)
        assert 0 <= int(number.min()) <= int(number.max()) < bins
        assert (number[given_values.argsort()].diff() >= 0).all()
        assert len(set(zip(values, number.tolist(), strict=True))) == len(set(values))


@pytest.mark.parametrize("values", [[0.0] * 9 + [1.0], [0.0] + [1.0] * 9])
def test_one_value_among_many_equal_ones_keeps_a_bin_of_its_own(values: list[float]) -> None:
    for binning in BINNINGS.values():
        assert len(binning(torch.tensor(values), 4).unique()) == 2


def test_outside_the_brain_nothing_counts_where_that_is_asked_for() -> None:
    batch = BENCH.batch()
    found, _ = explained(replace(GLOBAL, segments=12, compactness=0.1, score="mask", brain=True), batch)
    assert found.regions is not None
    outside = ~batch.context["brain"][0, 0]
    dark = [label for label in range(int(found.regions[0].max()) + 1) if outside[found.regions[0] == label].all()]
    assert dark
    assert all((found.relevance[0][found.regions[0] == label] == 0).all() for label in dark)


@pytest.mark.parametrize("explainer", [GLOBAL, replace(GLOBAL, rank_unit="bin")], ids=["superpixel", "bin"])
def test_a_case_is_explained_alike_alone_and_among_others(explainer: OptimizedGlobalPerturbation) -> None:
    batch = BENCH.batch()
    whole, (one, _) = explained(explainer, batch)[0], explained(explainer, batch.select([2]))
    assert torch.equal(whole.relevance[2], one.relevance[0])


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_mask_that_does_nothing_or_everything_gives_a_finite_map(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GlobalPerturbation, "mask", lambda _, weights, image: torch.full_like(image, share))
    for unit in ("superpixel", "cell", "bin"):
        for score in SCORES:
            explained(replace(GLOBAL, rank_unit=unit, score=score, bins=3), BENCH.batch())


def test_explainer_and_attack_share_their_weights_whatever_is_ranked() -> None:
    probes: list[Any] = [GlobalPerturbationAttack(training=SETTINGS), GLOBAL, replace(GLOBAL, score="mask", segments=50)]
    assert len({identity(probe, BENCH.target(), "data", 0) for probe in probes}) == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: replace(GLOBAL, score="M"), "score: found 'M', expected one of mask, one-minus-mask, change"),
        (lambda: replace(GLOBAL, reduce="max"), "reduce: found 'max'"),
        (lambda: replace(GLOBAL, rank_unit="voxel"), "rank_unit: found 'voxel', expected one of superpixel, cell, bin"),
        (lambda: replace(GLOBAL, binning="equal"), "binning: found 'equal'"),
        (lambda: replace(GLOBAL, bins=1), "bins: found 1"),
        (lambda: replace(GLOBAL, segments=0), "segments: found 0"),
        (lambda: replace(LOCAL, chunk=0), "chunk: found 0"),
        (lambda: replace(FEW, volumes=0), "volumes: found 0"),
        (lambda: replace(FEW, margin=-1), "margin: found -1"),
        (lambda: replace(FEW, superpixels=0), "superpixels: found 0"),
        (lambda: replace(FEW, floor=1.0), "floor: found 1.0"),
        (lambda: replace(FEW, epochs=0), "epochs: found 0"),
    ],
)
def test_impossible_settings_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_the_local_generator_sees_one_superpixel_and_changes_it_alone() -> None:
    batch = BENCH.batch()
    image, regions = batch.image[0], Superpixels(segments=30, compactness=5.0).partition(batch.image[:1])[0]
    perturb = LocalMask(FEW.generator.build(0, 4), margin=2)
    masks = torch.stack([regions == label for label in range(int(regions.max()) + 1)])
    around = boxes(regions, 2)
    with torch.no_grad():
        values = perturb(image, regions)
        versions = [perturb.version(image, regions, label, box) for label, box in enumerate(around)]
        elsewhere = perturb.version(torch.where(masks[3], image, torch.rand_like(image)), regions, 3, around[3])
    for mask, version in zip(masks, versions, strict=True):
        assert torch.equal(version[:, ~mask], image[:, ~mask])
        assert torch.equal(version[:, mask], values[:, mask])
        lit = mask & (image > 0).any(0)
        assert not lit.any() or (version[:, lit] < image[:, lit]).any()
    assert torch.equal(elsewhere[:, masks[3]], versions[3][:, masks[3]])


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 4), st.integers(0, 5)), min_size=1, max_size=4), st.integers(0, 3))
def test_a_box_holds_the_region_and_its_margin_inside_the_volume(voxels: list[tuple[int, int, int]], margin: int) -> None:
    labels = torch.zeros(7, 5, 6, dtype=torch.long)
    for voxel in voxels:
        labels[voxel] = 1
    box = boxes(labels, margin)[1]
    for axis, (part, length) in enumerate(zip(box, labels.shape, strict=True)):
        places = [voxel[axis] for voxel in voxels]
        assert (part.start, part.stop) == (max(min(places) - margin, 0), min(max(places) + margin + 1, length))


def test_a_learned_relevance_map_is_the_change_under_the_learned_perturbation(tmp_path: Path) -> None:
    target, data, batch = BENCH.target(), BENCH.data(), BENCH.batch().select([0, 1])
    steps: list[tuple[int, int]] = []
    weights = LOCAL.fit(target, data, 0, tmp_path, lambda step, of, loss: steps.append((step, of)))
    assert steps == [(step, 4) for step in range(1, 5)]
    found, guarded = explained(replace(LOCAL, weights=weights), batch)
    assert found.regions is not None
    perturb = LocalMask(FEW.generator.restore(weights, 4, "here"), FEW.margin)
    for case in range(2):
        clean, regions = target(batch.image[[case]], batch)[0, 0], found.regions[case]
        for label, box in list(enumerate(boxes(regions, FEW.margin)))[::3]:
            version = perturb.version(batch.image[case], regions, label, box)
            moved = (target(version[None], batch)[0, 0] - clean).abs()
            assert torch.allclose(found.relevance[case][regions == label], moved, atol=1e-5)
    assert guarded.passes.forward > 2
    other = LOCAL.fit(target, data, 1, tmp_path / "other", silent)
    assert not all(torch.equal(weights[name], other[name]) for name in weights)


def test_the_local_attack_perturbs_the_one_superpixel_that_the_explainer_ranks_first() -> None:
    weights = FEW.generator.build(3, 4).state_dict()
    explainer = replace(LOCAL, weights=weights)
    attack = LocalPerturbationAttack(**{field.name: getattr(explainer, field.name) for field in fields(explainer)})
    batch, target, budget = BENCH.batch(), BENCH.target(), MaskBudget()
    assert identity(attack, target, "data", 0) == identity(explainer, target, "data", 0), "trained once for both"
    found, _ = explained(explainer, batch)
    image = attack(Guarded(target, attack.threat), batch, budget, BENCH.random(batch.cases)).image
    assert found.regions is not None
    moved = (target(image, batch) - target(batch.image, batch)).abs().flatten()
    assert torch.allclose(moved, found.relevance.flatten(1).amax(1), atol=1e-5)
    for row in range(len(batch)):
        touched = found.regions[row][(image[row] != batch.image[row]).any(0)].unique()
        first = found.regions[row].flatten()[found.relevance[row].argmax()]
        assert touched.tolist() == [int(first)]
    little = MaskBudget(mean_change=1e-4)
    held = attack(Guarded(target, attack.threat), batch, little, BENCH.random(batch.cases)).image
    assert bool(((held - batch.image).abs().flatten(1).mean(1) <= 1.001e-4).all())


def test_a_saturated_target_gives_the_local_probe_a_map_of_zeros_and_an_attack_that_changes_nothing() -> None:
    class Certain(type(BENCH.target())):  # type: ignore[misc]
        def __call__(self, image: Tensor, batch: Batch) -> Tensor:
            return torch.ones(len(image), 1)

    batch, weights = BENCH.batch(), FEW.generator.build(3, 4).state_dict()
    target = Certain(**{field.name: getattr(BENCH.target(), field.name) for field in fields(BENCH.target())})
    explainer = replace(LOCAL, weights=weights)
    assert float(explainer(Guarded(target), batch, BENCH.random(batch.cases)).relevance.abs().max()) == 0
    attack = LocalPerturbationAttack(**{field.name: getattr(explainer, field.name) for field in fields(explainer)})
    assert torch.equal(attack(Guarded(target), batch, MaskBudget(), BENCH.random(batch.cases)).image, batch.image)
    empty = replace(batch, image=torch.zeros_like(batch.image))
    assert float(explainer(Guarded(BENCH.target()), empty, BENCH.random(batch.cases)).relevance.abs().max()) == 0


def test_local_training_draws_lit_superpixels_of_as_many_volumes_of_each_class() -> None:
    @dataclass(frozen=True)
    class Many(VolumeData):
        """Five of the high and three of the low grade."""

        def cases(self, split: str) -> list[Case]:
            return [Case(name, name, name) for name in [*"01234", *(["low0", "low1", "low2"] if split == "train" else [])]]

        def load(self, cases: Any) -> Batch:
            own = VolumeData(self.size)
            loaded = own.load([own.cases("train")[1 if case.case.startswith("low") else 0] for case in cases])
            return replace(loaded, cases=tuple(cases))

    split = Split.of(BENCH.target(), Many(12), "train")
    drawn = [FEW._volumes(split, seed) for seed in range(4)]
    for volumes in drawn:
        assert sorted(volumes.truth.tolist()) == [0, 0, 1, 1]
        assert len({case.case for case in volumes.cases}) == 4
    assert len({tuple(sorted(case.case for case in volumes.cases)) for volumes in drawn}) > 1
    regions = Superpixels(segments=12).partition(drawn[0].image)
    lesson = Lesson.of(FEW, FEW.generator.build(0, 4), split, drawn[0], regions, 0)
    lit = {(row, label) for row in range(4) for label in regions[row][(drawn[0].image[row] > 0).any(0)].tolist()}
    assert set(lesson.samples) == lit
    assert len(lit) < sum(int(one.max()) + 1 for one in regions), "some superpixels hold background alone"
    assert lesson.steps == len(list(lesson.losses(0))) == 2
    assert sorted(replace(FEW, volumes=4)._volumes(split, 0).truth.tolist()) == [0, 0, 0, 1, 1, 1, 1]
    with pytest.raises(ValueError, match="found no case of class 0 in split 'train', expected at least one"):
        FEW._volumes(replace(split, name="high"), 0)


def test_the_partition_is_part_of_what_local_training_depends_on() -> None:
    names = {identity(probe, BENCH.target(), "data", 0) for probe in (LOCAL, replace(LOCAL, segments=20), replace(LOCAL, chunk=2))}
    assert len(names) == 2
