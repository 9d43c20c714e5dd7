"""Explainers against their libraries and against transcriptions of what was published."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from captum._utils.models.linear_model import SkLearnRidge
from captum.attr import FeatureAblation, LayerAttribution, LayerGradCam, Lime
from captum.attr import Occlusion as CaptumOcclusion
from monai.visualize import GradCAM as MonaiGradCAM
from sklearn.linear_model import Ridge
from sklearn.metrics import pairwise_distances
from torch import Tensor, nn

from medrobust.guard import Guarded
from medrobust.randomness import CaseRandom, derive
from medrobust.targets.classification import ClassificationTarget
from medrobust.targets.resnet import ResNet
from medrobust.testing.volumes import VolumeData
from medrobust.types import Batch
from medrobust_attacks.explainers.grad_cam import GradCAM
from medrobust_attacks.explainers.integrated_gradients import IntegratedGradients
from medrobust_attacks.explainers.lime import LIME, draw
from medrobust_attacks.explainers.occlusion import Occlusion
from medrobust_attacks.explainers.relevance_map import RelevanceMap
from medrobust_attacks.explainers.rise import RISE

torch.set_num_threads(1)
SMALL = {"segments": 12}


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDROBUST_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def resnet(classes: int = 1, seed: int = 0) -> ClassificationTarget:
    """A small network of random weights whose normalisation has seen data; a single logit says yes to some and no to others."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        network = ResNet(depth=10, widths=(4, 8, 8, 8), stem=3, max_pool=False, classes=classes).build().train()
        for _ in range(3):
            network(batch().image + 0.1 * torch.rand(4, 4, 16, 16, 16))
    network.eval().requires_grad_(False)
    network.fc.weight *= 5  # type: ignore[operator,union-attr]
    if classes == 1:
        network.fc.bias -= network(batch().image).mean()  # type: ignore[operator,union-attr]
    return ClassificationTarget(network, "resnet")


def batch() -> Batch:
    data = VolumeData(16)
    return data.load(data.cases("test"))


def streams(cases: Batch) -> CaseRandom:
    return CaseRandom.of([derive("test", case.case) for case in cases.cases])


def of_predicted(target: ClassificationTarget, case: Tensor) -> tuple[int, object]:
    """The predicted class of one volume (1, c, *space), and the function that gives its probability, (m,)."""

    def both(images: Tensor) -> Tensor:
        logits = target.network(images)
        if logits.shape[1] == 1:
            logits = torch.cat([torch.zeros_like(logits), logits], 1)
        return logits.softmax(1)

    label = int(both(case).argmax())
    return label, lambda images: both(images)[:, label]


@pytest.mark.parametrize("classes", [1, 3])
def test_lime_is_captum_s_on_the_same_samples(classes: int) -> None:
    target, clean = resnet(classes), batch()
    plugin = LIME(samples=40, **SMALL)
    explained = plugin(Guarded(target, plugin.threat), clean, streams(clean))
    assert explained.regions is not None
    for case, (labels, relevance) in enumerate(zip(explained.regions, explained.relevance, strict=True)):
        features = int(labels.max()) + 1
        rows = iter(draw(streams(clean).generators[case], plugin.samples, features).long()[:, None])
        _, function = of_predicted(target, clean.image[case, None])

        def similarity(original: Tensor, perturbed: Tensor, sample: Tensor, **_: object) -> float:
            distance = 1 - torch.nn.functional.cosine_similarity(sample.double(), torch.ones_like(sample).double()).item()
            return float(np.sqrt(np.exp(-(distance**2) / 0.25**2)))

        captum = Lime(function, SkLearnRidge(alpha=1.0), similarity, perturb_func=lambda *_, rows=rows, **__: next(rows))
        expected = captum.attribute(
            clean.image[case, None], baselines=0, feature_mask=labels[None, None], n_samples=plugin.samples, return_input_shape=False
        )[0]
        assert expected.abs().max() > 1e-4
        assert torch.allclose(relevance, expected.float()[labels], rtol=1e-3, atol=1e-6)


def test_lime_is_lime_image_s_mathematics_in_3d() -> None:
    target, clean = resnet(), batch().select([2])
    plugin = LIME(samples=60, hide=0.1, **SMALL)
    explained = plugin(Guarded(target, plugin.threat), clean, streams(clean))
    assert explained.regions is not None
    labels = explained.regions[0].numpy()
    data = draw(streams(clean).generators[0], 60, labels.max() + 1).numpy().astype(int)
    assert (data[0] == 1).all()
    assert 0.4 < data[1:].mean() < 0.6
    answers = []
    for row in data:
        image = clean.image[0].numpy().copy()
        for hidden in np.flatnonzero(row == 0):
            image[:, labels == hidden] = 0.1
        answers.append(target.network(torch.from_numpy(image)[None]).sigmoid().item())
    answers = np.array(answers) if answers[0] >= 0.5 else 1 - np.array(answers)
    distances = pairwise_distances(data, data[0].reshape(1, -1), metric="cosine").ravel()
    model = Ridge(alpha=1, fit_intercept=True).fit(data, answers, sample_weight=np.sqrt(np.exp(-(distances**2) / 0.25**2)))
    assert np.abs(model.coef_).max() > 1e-4
    assert np.allclose(explained.relevance[0].numpy(), model.coef_[labels], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("layer", ["layer4", "layer3", "layer2.0.conv2", "layer2.0.bn2", "conv1"])
@pytest.mark.parametrize("classes", [1, 3])
def test_grad_cam_is_monai_s_and_captum_s(classes: int, layer: str) -> None:
    target, clean = resnet(classes, seed=1), batch()
    found = GradCAM(layer)(Guarded(target), clean, streams(clean)).relevance
    signs, highest = set(), []
    for case, relevance in enumerate(found):
        image = clean.image[case, None].clone().requires_grad_()
        label, _ = of_predicted(target, image)
        negated = classes == 1 and label == 0
        signs.add(negated)
        network = nn.Sequential(target.network, Times(-1.0 if negated else 1.0)).eval()
        index = 0 if classes == 1 else label
        captum = LayerGradCam(network, target.network.get_submodule(layer)).attribute(image, target=index, relu_attributions=True)
        captum = LayerAttribution.interpolate(captum, (16, 16, 16), "trilinear")[0, 0].detach()
        highest.append(float(captum.max()))
        assert torch.allclose(relevance, captum, rtol=1e-4, atol=1e-6 * float(captum.max()))
        if layer != "layer2.0.bn2":  # MONAI's hooks do not stand what changes a layer's output in place
            monai = MonaiGradCAM(nn_module=network, target_layers=f"0.{layer}", postprocessing=lambda map_: map_)(image, class_idx=index)
            assert torch.allclose(relevance, monai[0, 0].detach(), rtol=1e-4, atol=1e-6 * float(captum.max()))
    assert max(highest) > 0
    assert classes > 1 or signs == {False, True}


class Times(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, logits: Tensor) -> Tensor:
        return self.factor * logits


@pytest.mark.parametrize("perturbation", ["blank", "min", "max"])
def test_the_relevance_map_is_the_published_algorithm(perturbation: str) -> None:
    target, clean = resnet(), batch()
    plugin = RelevanceMap(perturbation=perturbation, **SMALL)
    explained = plugin(Guarded(target, plugin.threat), clean, streams(clean))
    assert explained.regions is not None
    for image, labels, relevance in zip(clean.image, explained.regions, explained.relevance, strict=True):
        p, expected = target.network(image[None]).sigmoid().item(), torch.zeros(labels.shape)
        for s in range(int(labels.max()) + 1):
            perturbed = image.clone()
            for sequence in perturbed:
                sequence[labels == s] = {"blank": 0.0, "min": sequence[labels == s].min(), "max": sequence[labels == s].max()}[perturbation]
            expected[labels == s] = abs(target.network(perturbed[None]).sigmoid().item() - p)
        assert expected.max() > 1e-4
        assert torch.allclose(relevance, expected, atol=1e-6)


def test_the_blank_relevance_map_is_captum_s_feature_ablation() -> None:
    target, clean = resnet(3), batch().select([1])
    plugin = RelevanceMap(**SMALL)
    explained = plugin(Guarded(target, plugin.threat), clean, streams(clean))
    assert explained.regions is not None
    _, function = of_predicted(target, clean.image)
    expected = FeatureAblation(function).attribute(clean.image, baselines=0, feature_mask=explained.regions[:, None])[0, 0].abs()
    assert torch.allclose(explained.relevance[0], expected, atol=1e-6)


def test_all_pairs_of_transcriptions_differ() -> None:
    """The three perturbations are three: none of the tests above would pass for another."""
    target, clean = resnet(), batch().select([0])
    maps = [RelevanceMap(perturbation=name, **SMALL)(Guarded(target), clean, streams(clean)).relevance for name in ("blank", "min", "max")]
    assert all(not torch.allclose(one, other, atol=1e-5) for one, other in itertools.combinations(maps, 2))


def test_occlusion_is_captum_s() -> None:
    target, clean = resnet(3), batch().select([2])
    plugin = Occlusion(size=5, stride=4, value=0.2)
    found = plugin(Guarded(target, plugin.threat), clean, streams(clean)).relevance[0]
    _, function = of_predicted(target, clean.image)
    expected = CaptumOcclusion(function).attribute(clean.image, sliding_window_shapes=(4, 5, 5, 5), strides=(4, 4, 4, 4), baselines=0.2)
    assert expected.abs().max() > 1e-4
    assert torch.allclose(found, expected[0, 0].float(), rtol=1e-3, atol=1e-6)


def test_rise_is_the_published_equation() -> None:
    target, clean = resnet(3), batch().select([3])
    plugin = RISE(masks=12, cells=3, keep=0.4)
    found = plugin(Guarded(target, plugin.threat), clean, streams(clean)).relevance[0]
    _, function = of_predicted(target, clean.image)
    rng = streams(clean)
    grids, places = rng.uniform(0, 1, 12, 1, 3, 3, 3)[0] < 0.4, rng.uniform(0, 1, 12, 3)[0]
    expected = torch.zeros(16, 16, 16)
    for grid, place in zip(grids, places, strict=True):
        large = zoom(grid[0].float(), 6)
        z, y, x = (place * 6).long()
        mask = large[z : z + 16, y : y + 16, x : x + 16]
        expected += function(clean.image * mask) * mask
    assert torch.allclose(found, expected / (12 * 0.4), rtol=1e-4)


def zoom(grid: Tensor, edge: int) -> Tensor:
    """A grid of 3 cells an edge, each axis enlarged by linear interpolation to 4 cells of `edge` voxels, as an image library resizes."""
    places = np.clip((np.arange(4 * edge) + 0.5) * 3 / (4 * edge) - 0.5, 0, 2)
    weights = torch.from_numpy(np.stack([np.interp(places, range(3), np.eye(3)[i]) for i in range(3)], 1)).float()
    return torch.einsum("ai,bj,ck,ijk->abc", weights, weights, weights, grid)


def test_integrated_gradients_are_a_riemann_sum() -> None:
    target, clean = resnet(3), batch().select([1])
    plugin = IntegratedGradients(steps=40)
    found = plugin(Guarded(target), clean, streams(clean)).relevance[0]
    _, function = of_predicted(target, clean.image)
    slopes = torch.zeros_like(clean.image)
    for step in range(50):
        point = ((step + 0.5) / 50 * clean.image).requires_grad_()
        slopes += torch.autograd.grad(function(point).sum(), point)[0] / 50
    expected = (slopes * clean.image).abs().sum(1)[0]
    assert expected.max() > 1e-4
    assert (found - expected).norm() < 0.1 * expected.norm()
