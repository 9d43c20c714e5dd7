"""A relevance map is what it is however it is computed: in parts or whole, region by region or all at once, under any numbering."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import avg_pool3d, interpolate

from medrobust.guard import Guarded
from medrobust.targets.classification import ClassificationTarget
from medrobust.targets.resnet import ResNet
from medrobust.types import Batch, Case, Target
from medrobust_attacks.explainers.perturbation import PERTURBATIONS, one_by_one
from medrobust_attacks.explainers.relevance_map import RelevanceMap, relevance_of, relevance_under

torch.set_num_threads(1)
EDGE = 12
ROUNDING = 1e-5
"""Of probabilities in float32 through the layers of a ResNet; 1.4e-6 has been seen."""
BY_MASK: dict[str, Callable[[Tensor, Tensor], float]] = {
    "blank": lambda sequence, inside: 0.0,
    "min": lambda sequence, inside: sequence[inside].min().item(),
    "max": lambda sequence, inside: sequence[inside].max().item(),
}


def batch(seed: int, n: int = 1) -> Batch:
    """Volumes of noise, 0 nowhere, so that every perturbation changes every region."""
    image = torch.rand(n, 4, EDGE, EDGE, EDGE, generator=torch.Generator().manual_seed(seed)) * 0.9 + 0.1
    return Batch(image, torch.zeros(n, dtype=torch.long), tuple(Case(f"case{i}", f"case{i}", f"case{i}") for i in range(n)))


def blobs(seed: int, regions: int, n: int = 1) -> Tensor:
    """Irregular regions (n, *space), labels 0, ..., K - 1, each in use."""
    coarse = torch.rand(n * regions, 1, 4, 4, 4, generator=torch.Generator().manual_seed(seed + 1))
    winners = interpolate(coarse, (EDGE,) * 3, mode="trilinear").view(n, regions, EDGE, EDGE, EDGE).argmax(1)
    return torch.stack([one.unique(return_inverse=True)[1] for one in winners])


def resnet(seed: int, classes: int = 1, *, max_pool: bool = False) -> nn.Module:
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        network = ResNet(depth=10, widths=(4, 6, 8, 8), stem=3, max_pool=max_pool, classes=classes).build().train()
        for step in range(3):
            network(batch(step, 4).image)
    network.fc.weight.data *= 5  # type: ignore[union-attr,operator]
    return network.eval().requires_grad_(False)


def relevance(target: Target, given_: Batch, regions: Tensor, name: str, *, local: bool) -> tuple[Tensor, float]:
    guarded = Guarded(target)
    return relevance_under(guarded, given_, regions, PERTURBATIONS[name], 4, local=local), guarded.passes.forward


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 2**16), st.integers(2, 14), st.sampled_from(list(PERTURBATIONS)), st.sampled_from([1, 3]), st.booleans())
def test_in_part_is_in_whole(seed: int, regions: int, name: str, classes: int, max_pool: bool) -> None:
    target, clean, labels = ClassificationTarget(resnet(seed, classes, max_pool=max_pool), "resnet"), batch(seed, 2), blobs(seed, regions, 2)
    part, spent = relevance(target, clean, labels, name, local=True)
    whole, passes = relevance(target, clean, labels, name, local=False)
    assert torch.allclose(part, whole, rtol=0, atol=ROUNDING)
    assert passes == 2 + sum(int(one.max()) + 1 for one in labels)
    assert spent <= passes * 1.0001


def test_small_regions_cost_a_part_of_a_pass() -> None:
    regions = torch.zeros(1, EDGE, EDGE, EDGE, dtype=torch.long)
    for index in range(1, 9):
        regions[0, index + 1, 4:6, 4:6] = index
    part, spent = relevance(ClassificationTarget(resnet(0), "resnet"), batch(0), regions, "max", local=True)
    assert part.max() > 1e-4
    assert 1 < spent < 0.8 * 10


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**16), st.integers(2, 14), st.sampled_from(list(PERTURBATIONS)))
def test_one_volume_holds_all_versions(seed: int, regions: int, name: str) -> None:
    image, labels = batch(seed).image[0], blobs(seed, regions)[0]
    values = PERTURBATIONS[name](image, labels)

    def by_mask(volume: Tensor, masks: Tensor) -> Tensor:
        versions = volume.repeat(len(masks), 1, 1, 1, 1)
        for version, mask in zip(versions, masks, strict=True):
            for sequence in version:
                sequence[mask] = BY_MASK[name](sequence, mask)
        return versions

    assert torch.equal(values, one_by_one(by_mask, 3)(image, labels))
    clean, network = batch(seed), ClassificationTarget(MeanOfCorner(), "corner")
    assert torch.equal(relevance_of(network, clean, labels[None], by_mask, 5), relevance(network, clean, labels[None], name, local=False)[0])


class MeanOfCorner(nn.Module):
    """Looks at one corner and nowhere else."""

    def forward(self, image: Tensor) -> Tensor:
        return 4 * image[:, :, : EDGE // 2, : EDGE // 2, : EDGE // 2].mean((1, 2, 3, 4))[:, None] - 1


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**16), st.integers(2, 14), st.sampled_from(list(PERTURBATIONS)))
def test_numbers_of_regions_are_names_alone(seed: int, regions: int, name: str) -> None:
    labels, target = blobs(seed, regions), ClassificationTarget(MeanOfCorner(), "corner")
    order = torch.randperm(int(labels.max()) + 1, generator=torch.Generator().manual_seed(seed))
    own, _ = relevance(target, batch(seed), labels, name, local=False)
    other, _ = relevance(target, batch(seed), order[labels], name, local=False)
    assert torch.equal(own, other)


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**16), st.integers(2, 14), st.booleans())
def test_what_the_classifier_does_not_see_has_no_relevance(seed: int, regions: int, local: bool) -> None:
    labels, target = blobs(seed, regions), ClassificationTarget(MeanOfCorner(), "corner")
    own, _ = relevance(target, batch(seed), labels, "blank", local=local)
    seen = labels[:, : EDGE // 2, : EDGE // 2, : EDGE // 2].unique()
    inside = torch.isin(labels, seen)
    assert (own[inside] > 0).all()
    assert (own[~inside] == 0).all()


@dataclass(frozen=True, eq=False)
class Defended:
    """Smooths the volume before its network sees it."""

    network: nn.Module
    task: str = "classification"
    digest: str = "defended"

    def __call__(self, image: Tensor, batch: Batch) -> Tensor:
        return ClassificationTarget(self.network, "inner")(avg_pool3d(image, 3, 1, 1), batch)

    def loss(self, image: Tensor, batch: Batch) -> Tensor:
        return self(image, batch)[:, 0]

    def to(self, device: torch.device | str) -> Defended:
        return self


def test_a_defense_before_the_network_is_not_passed_by() -> None:
    clean, labels, network = batch(0), blobs(0, 6), resnet(0)
    part, spent = relevance(Defended(network), clean, labels, "max", local=True)
    whole, passes = relevance(Defended(network), clean, labels, "max", local=False)
    bare, _ = relevance(ClassificationTarget(network, "bare"), clean, labels, "max", local=False)
    assert torch.equal(part, whole)
    assert spent == passes == int(labels.max()) + 2
    assert not torch.allclose(whole, bare, atol=1e-5)


def test_a_network_in_which_changes_spread_gets_whole_passes() -> None:
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv3d(4, 3, 3), nn.InstanceNorm3d(3), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(3, 1))
    target, labels = ClassificationTarget(network.eval(), "spread"), blobs(0, 6)
    part, spent = relevance(target, batch(0), labels, "blank", local=True)
    whole, passes = relevance(target, batch(0), labels, "blank", local=False)
    assert torch.equal(part, whole)
    assert spent == passes


def test_the_way_of_computing_is_no_part_of_its_identity() -> None:
    assert RelevanceMap(local=False, chunk=1) == RelevanceMap()


@pytest.mark.parametrize("local", [True, False])
def test_a_volume_that_no_perturbation_changes_is_asked_about_once(local: bool) -> None:
    empty = Batch(torch.zeros(1, 4, EDGE, EDGE, EDGE), torch.zeros(1, dtype=torch.long), batch(0).cases)
    found, passes = relevance(ClassificationTarget(resnet(0), "resnet"), empty, blobs(0, 5), "blank", local=local)
    assert (found == 0).all()
    assert passes == 1
