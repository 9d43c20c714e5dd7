"""Explainers: one map a case whatever stands beside it, hooks and counts left in order, finite maps of hopeless classifiers, one-line refusals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from medrobust import registry
from medrobust.guard import Fingerprint, Guarded
from medrobust.outcomes import check_explained
from medrobust.randomness import CaseRandom, derive
from medrobust.targets.classification import ClassificationTarget
from medrobust.testing.volumes import Reader, VolumeData
from medrobust.types import Batch, Explained, Explainer
from medrobust_attacks.explainers.enlarging import enlarged
from medrobust_attacks.explainers.grad_cam import GradCAM
from medrobust_attacks.explainers.integrated_gradients import IntegratedGradients
from medrobust_attacks.explainers.lime import LIME
from medrobust_attacks.explainers.model_free import OF_REGIONS, OF_VOXELS, ModelFree
from medrobust_attacks.explainers.occlusion import Occlusion, windows
from medrobust_attacks.explainers.perturbation import blank
from medrobust_attacks.explainers.relevance_map import RelevanceMap, relevance_under
from medrobust_attacks.explainers.rise import RISE, smooth

torch.set_num_threads(1)
EXPLAINERS = [
    LIME(segments=10, samples=20),
    LIME(segments=10, samples=20, kernel="equal", half=True),
    GradCAM("convolution"),
    RelevanceMap(segments=10),
    RelevanceMap(segments=10, perturbation="min", sequence=0),
    RelevanceMap(segments=10, perturbation="max"),
    Occlusion(size=6, stride=5),
    RISE(masks=20, cells=3),
    IntegratedGradients(steps=5),
]
FREE = [ModelFree(segments=10, of=of) for of in (*OF_REGIONS, *OF_VOXELS)]


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDROBUST_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def batch() -> Batch:
    data = VolumeData(16)
    return data.load(data.cases("test"))


def target(network: nn.Module | None = None) -> ClassificationTarget:
    return ClassificationTarget((network or Reader()).eval(), "reader")


def streams(cases: Batch, seed: int = 0) -> CaseRandom:
    return CaseRandom.of([derive(seed, case.case) for case in cases.cases])


def explain(plugin: Explainer, clean: Batch, network: nn.Module | None = None, micro_batch: int = 1, seed: int = 0) -> Explained:
    guarded = Guarded(target(network), plugin.threat, micro_batch)
    with torch.set_grad_enabled(guarded.white_box):
        return check_explained(clean, plugin(guarded, clean, streams(clean, seed)))


@pytest.mark.parametrize("plugin", EXPLAINERS, ids=repr)
def test_a_case_fares_the_same_alone_as_among_others(plugin: Explainer) -> None:
    clean = batch()
    together = explain(plugin, clean)
    for order in ([2, 0, 3, 1], [1]):
        other = explain(plugin, clean.select(order))
        assert torch.equal(other.relevance, together.relevance[order])
        assert other.regions is None or torch.equal(other.regions, together.regions[order])  # type: ignore[index]
    assert torch.allclose(explain(plugin, clean, micro_batch=3).relevance, together.relevance, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("plugin", EXPLAINERS, ids=repr)
def test_the_cases_have_maps_of_their_own_that_say_something(plugin: Explainer) -> None:
    maps = explain(plugin, batch()).relevance
    assert all(one.max() > one.min() for one in maps)
    assert not torch.equal(maps[0], maps[1])


@pytest.mark.parametrize("plugin", [plugin for plugin in EXPLAINERS if hasattr(plugin, "chunk")], ids=repr)
@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_the_chunk_changes_no_number_and_bounds_what_is_built(plugin: LIME | RelevanceMap, chunk: int) -> None:
    seen: list[int] = []

    class Sees(Guarded):
        def __call__(self, image: Tensor, batch: Batch) -> Tensor:
            seen.append(len(image))
            return super().__call__(image, batch)

    clean = batch().select([0, 3])
    other = replace(plugin, chunk=chunk)
    if isinstance(other, RelevanceMap):
        other = replace(other, local=False)  # what is built for whole passes is seen from here
    assert other == plugin
    found = other(Sees(target(), plugin.threat), clean, streams(clean))
    expected, rounds = explain(plugin, clean).relevance, isinstance(plugin, IntegratedGradients | RelevanceMap)
    assert torch.allclose(found.relevance, expected, rtol=1e-4, atol=1e-6) if rounds else torch.equal(found.relevance, expected)
    assert max(seen) <= chunk


@pytest.mark.parametrize("plugin", EXPLAINERS, ids=repr)
def test_relevance_is_constant_within_a_superpixel(plugin: Explainer) -> None:
    found = explain(plugin, batch())
    if found.regions is None:
        return
    for relevance, labels in zip(found.relevance, found.regions, strict=True):
        assert labels.max() > 2
        for label in labels.unique():
            assert len(relevance[labels == label].unique()) == 1


@pytest.mark.parametrize("plugin", EXPLAINERS, ids=repr)
def test_a_saturated_classifier_gets_a_finite_map(plugin: Explainer) -> None:
    network = Reader()
    with torch.no_grad():
        network.head.bias.fill_(1e4)
    relevance = explain(plugin, batch(), network).relevance
    assert relevance.isfinite().all()
    if not isinstance(plugin, GradCAM | RISE):  # the logit saturates nowhere; equal weights leave the masks' own mean
        assert (relevance == 0).all()


@pytest.mark.parametrize("plugin", EXPLAINERS, ids=repr)
def test_an_empty_volume_gets_a_finite_map(plugin: Explainer) -> None:
    clean = batch().select([0])
    empty = Batch(torch.zeros_like(clean.image), clean.truth, clean.cases, clean.context)
    assert explain(plugin, empty).relevance.isfinite().all()


@pytest.mark.parametrize("plugin", EXPLAINERS, ids=repr)
def test_the_target_is_left_alone(plugin: Explainer) -> None:
    network, clean = Reader(), batch()
    wanted = [parameter.requires_grad for parameter in network.parameters()]
    before, image = Fingerprint.of(network.eval()), clean.image.clone()
    explain(plugin, clean, network)
    assert not before.changes(Fingerprint.of(network))
    assert [parameter.requires_grad for parameter in network.parameters()] == wanted
    assert all(parameter.grad is None for parameter in network.parameters())
    assert torch.equal(clean.image, image)


@pytest.mark.parametrize("plugin", [plugin for plugin in [*EXPLAINERS, FREE[0]] if hasattr(plugin, "queries")], ids=repr)
def test_the_passes_are_those_announced(plugin: Any) -> None:
    guarded, clean = Guarded(target(), plugin.threat), batch()
    with torch.set_grad_enabled(guarded.white_box):
        plugin(guarded, clean, streams(clean))
    assert guarded.passes.forward == plugin.queries * len(clean)
    if not isinstance(plugin, GradCAM):
        assert guarded.passes.gradient == getattr(plugin, "gradients", 0) * len(clean)


def test_grad_cam_counts_what_lies_behind_the_layer() -> None:
    network = nn.Sequential(nn.Conv3d(4, 2, 3), nn.ReLU(inplace=True), nn.Conv3d(2, 3, 1), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(3, 1))
    voxels = 14**3
    before, behind = 4 * 2 * 27 * voxels, 2 * 3 * voxels + 3
    for layer, part in (("0", behind), ("2", 3)):
        guarded, clean = Guarded(target(network)), batch()
        GradCAM(layer)(guarded, clean, streams(clean))
        assert guarded.passes.gradient == pytest.approx(4 * part / (before + behind))


def test_grad_cam_goes_back_through_the_head_alone() -> None:
    network, clean = Reader(), batch()
    asked: list[bool] = []
    network.convolution.register_forward_hook(lambda module, inputs, output: asked.append(output.requires_grad))
    explain(GradCAM("normalisation"), clean, network)
    assert asked == [False] * 4


def test_ties_and_untouched_superpixels_score_exactly_nothing() -> None:
    clean = batch().select([0])
    regions = torch.zeros(1, 16, 16, 16, dtype=torch.long)
    regions[:, 8:] = 1
    regions[0, 0, 0, :2] = torch.tensor([2, 3])  # outside the head: blank already
    guarded = Guarded(target())
    relevance = relevance_under(guarded, clean, regions, blank, 8, local=False)
    assert relevance[0, 0, 0, 0] == relevance[0, 0, 0, 1] == 0
    assert relevance[0, 4, 4, 4] > 0
    assert guarded.passes.forward == 3


def test_occluding_cubes_cover_the_volume_and_blank_ones_are_not_asked_about() -> None:
    for length, size, stride in ((16, 6, 5), (16, 16, 8), (16, 20, 3), (17, 4, 4), (5, 1, 1)):
        covered = torch.zeros(length)
        stretches = windows(length, size, stride)
        for stretch in stretches:
            covered[stretch] += 1
        assert (covered > 0).all()
        assert stretches[-1].start < length
    clean, guarded = batch().select([0]), Guarded(target())
    image = clean.image.clone()
    image[..., 8:] = 0
    half = Batch(image, clean.truth, clean.cases, clean.context)
    relevance = Occlusion(size=4, stride=4)(guarded, half, streams(half)).relevance
    assert guarded.passes.forward <= 1 + 32
    assert (relevance[..., 8:] == 0).all()
    assert relevance.abs().max() > 0


def test_masks_are_smooth_and_cut_out_where_asked() -> None:
    grids = torch.tensor([[[0.0, 1.0], [0.0, 1.0]]]).repeat(2, 1, 1, 1)
    first, second = smooth(grids, torch.tensor([[0.0, 0.0], [0.0, 0.9]]), torch.Size((8, 8)))[:, 0]
    large = torch.nn.functional.interpolate(grids[:1], (12, 12), mode="bilinear")[0, 0]
    assert torch.allclose(first, large[:8, :8])
    assert torch.allclose(second, large[:8, 3:11])


@pytest.mark.parametrize(("space", "mode"), [((20,), "linear"), ((9, 11), "bilinear"), ((16, 17, 12), "trilinear")])
def test_maps_are_enlarged_as_torch_does(space: tuple[int, ...], mode: str) -> None:
    maps = torch.rand(2, *(5, 3, 4)[: len(space)], generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.interpolate(maps[:, None], space, mode=mode)[:, 0]
    assert torch.allclose(enlarged(maps, space), expected, atol=1e-6)


def test_rise_finds_what_the_classifier_needs() -> None:
    class Corner(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return 20 * image[:, 1, :5, :5, :5].mean((1, 2, 3))[:, None] - 5

    clean = batch().select([0])
    bright = Batch(torch.ones_like(clean.image), clean.truth, clean.cases, clean.context)
    relevance = explain(RISE(masks=300, cells=4), bright, Corner()).relevance[0]
    assert relevance[:5, :5, :5].mean() > 1.1 * relevance[6:].mean()


def test_integrated_gradients_add_up_to_the_change_of_a_monotone_answer() -> None:
    """Completeness: where every voxel speaks for the class, absolute values sum to p(volume) - p(nothing)."""

    class Sum(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return 8 * image.mean((1, 2, 3, 4))[:, None]

    clean = batch()
    found = explain(IntegratedGradients(steps=20), clean, Sum()).relevance.flatten(1).sum(1)
    change = target(Sum())(clean.image, clean)[:, 0] - 0.5
    assert torch.allclose(found, change, rtol=1e-3)
    assert (change > 0.1).all()


@pytest.mark.parametrize("plugin", FREE, ids=repr)
def test_model_free_maps_ask_nothing_and_treat_each_case_alone(plugin: ModelFree) -> None:
    clean = batch()
    whole = check_explained(clean, plugin(None, clean, streams(clean)))  # type: ignore[arg-type]
    part = clean.select([3, 1])
    assert torch.equal(plugin(None, part, streams(part)).relevance, whole.relevance[[3, 1]])  # type: ignore[arg-type]
    assert (whole.regions is None) == (plugin.of in ("ones", "brain"))


def test_model_free_maps_are_what_they_say() -> None:
    clean = batch()

    def free(of: str, seed: int = 0, given: Batch = clean) -> Explained:
        return ModelFree(segments=10, of=of)(None, given, streams(given, seed))  # type: ignore[arg-type]

    assert (free("ones").relevance == 1).all()
    assert torch.equal(free("brain").relevance.bool(), clean.context["brain"][:, 0])
    bare = Batch(clean.image, clean.truth, clean.cases)
    assert torch.equal(free("brain", given=bare).relevance.bool(), (clean.image > 0).any(1))
    bright = free("intensity-T2w")
    assert bright.regions is not None
    inside = bright.regions[0] == bright.regions[0, 8, 8, 8]
    assert bright.relevance[0, 8, 8, 8].item() == pytest.approx(clean.image[0, 2][inside].mean().item())
    assert not torch.equal(free("intensity-T1ce").relevance, bright.relevance)
    assert not torch.equal(free("random-ranking", 0).relevance, free("random-ranking", 1).relevance)
    assert len(free("random-ranking").relevance[0].unique()) == int(bright.regions[0].max()) + 1


def test_lime_draws_anew_under_another_seed() -> None:
    plugin = LIME(segments=10, samples=20)
    assert not torch.equal(explain(plugin, batch()).relevance, explain(plugin, batch(), seed=1).relevance)


def test_the_sign_of_lime_follows_the_predicted_class() -> None:
    """The rim of a high-grade tumour speaks for its class; for the other class it would speak against."""
    clean, plugin = batch().select([0]), LIME(segments=30, samples=200)
    rim = clean.context["tumour"][0, 0]
    network = Reader()
    probability = target(network)(clean.image, clean).item()
    relevance = explain(plugin, clean, network).relevance[0]
    assert probability > 0.5
    with torch.no_grad():
        network.head.weight.neg_()
        network.head.bias.neg_()
    turned = explain(plugin, clean, network).relevance[0]
    assert relevance[rim].mean() > relevance[~rim].mean()
    assert torch.allclose(relevance, turned, atol=1e-5)


def small() -> Batch:
    clean = batch().select([0])
    return Batch(clean.image[:, :3], clean.truth, clean.cases, clean.context)


BAD: list[tuple[Callable[[], object], str]] = [
    (lambda: LIME(samples=0), "samples: found 0, expected at least 1"),
    (lambda: LIME(kernel="euclidean"), "kernel: found 'euclidean', expected one of cosine, equal"),
    (lambda: LIME(width=0), "width: found 0, expected at least 0.001"),
    (lambda: LIME(chunk=0), "chunk: found 0, expected at least 1"),
    (lambda: LIME(segments=0), "segments: found 0, expected at least 1"),
    (lambda: RelevanceMap(perturbation="median"), "perturbation: found 'median', expected one of blank, min, max"),
    (lambda: RelevanceMap(chunk=0), "chunk: found 0, expected at least 1"),
    (lambda: Occlusion(size=4, stride=5), "stride: found 5, expected at most the cube's edge of 4 voxels"),
    (lambda: RISE(keep=0), r"keep: found 0, expected a probability in \(0, 1\]"),
    (lambda: RISE(masks=0), "masks: found 0, expected at least 1"),
    (lambda: IntegratedGradients(steps=0), "steps: found 0, expected at least 1"),
    (lambda: ModelFree(of="T2w"), "of: found 'T2w', expected one of random-ranking, intensity-T1w"),
    (lambda: ModelFree(of="intensity-FLAIR")(None, small(), streams(small())), "of: found 3 .*expected FLAIR as number 4"),  # type: ignore[arg-type]
    (lambda: explain(RelevanceMap(segments=5000), batch()), "segments = 5000, expected at most the 4096 voxels"),
    (lambda: explain(GradCAM("layer9"), batch()), "layer: found 'layer9', expected one of convolution, normalisation, "),
    (lambda: explain(GradCAM("head"), batch()), r"layer: 'head' puts out \(1, 1\), expected a map"),
    (lambda: explain(GradCAM("0"), batch(), nn.Sequential(shared := nn.Conv3d(4, 4, 1), shared)), "layer: '0' ran 2 times in a pass"),
]


@pytest.mark.parametrize(("bad", "message"), BAD, ids=[message for _, message in BAD])
def test_refusals_are_one_line(bad: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        bad()
    assert "\n" not in str(caught.value)


def test_a_target_without_a_network_is_refused_in_words() -> None:
    class Bare:
        task, digest = "classification", "bare"

    with pytest.raises(ValueError, match="found a target of type Bare, expected one that holds a network"):
        GradCAM()(Guarded(Bare()), batch(), streams(batch()))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["lime", "grad-cam", "relevance-map", "occlusion", "rise", "integrated-gradients", "model-free"])
def test_it_is_registered(name: str) -> None:
    plugin = registry.load("explainers", name)()
    assert plugin.threat in ("black-box", "white-box")
