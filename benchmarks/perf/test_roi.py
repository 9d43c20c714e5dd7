"""Explainers against the passes they need: LIME and relevance maps against bare forwards, Grad-CAM against a forward and the head's backward."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from captum._utils.models.linear_model import SkLearnRidge
from captum.attr import FeatureAblation, LayerGradCam, Lime
from monai.visualize import GradCAM as MonaiGradCAM
from torch import Tensor

from medrobust.data.glioma_phantom import GliomaPhantom
from medrobust.guard import Guarded
from medrobust.imaging.superpixels import Superpixels
from medrobust.randomness import CaseRandom
from medrobust.targets.classification import ClassificationTarget
from medrobust.targets.resnet import ResNet
from medrobust.types import Explainer
from medrobust_attacks.explainers.grad_cam import GradCAM
from medrobust_attacks.explainers.lime import LIME, draw
from medrobust_attacks.explainers.relevance_map import RelevanceMap

torch.set_num_threads(1)
SMALL = ResNet(depth=10, widths=(8, 16, 32, 64), stem=5, stem_stride=2, max_pool=False, standardised=True)
WIDE = ResNet(depth=10, stem_stride=2)
SAMPLES = 100
NETWORKS = {"shipped": SMALL, "64 to 512 channels": WIDE}


@dataclass
class Work:
    """One phantom of 64^3 and its superpixels, before a network of random weights."""

    architecture: ResNet

    def __post_init__(self) -> None:
        torch.manual_seed(0)
        self.network = self.architecture.build().eval().requires_grad_(False)
        self.target = ClassificationTarget(self.network, "resnet")
        phantoms = GliomaPhantom(train=0, val=0, test=1)
        self.batch = phantoms.load(phantoms.cases("test"))
        self.regions = Superpixels().partition(self.batch.image)
        self.count = int(self.regions.max()) + 1
        self.changed = len(self.regions[(self.batch.image != 0).any(1)].unique())

    def probability(self, image: Tensor) -> Tensor:
        return self.network(image).sigmoid()[:, 0]

    def forward(self, passes: int) -> Callable[[], object]:
        def run() -> None:
            with torch.inference_mode():
                for _ in range(passes):
                    self.probability(self.batch.image)

        return run

    def forward_and_head(self) -> None:
        """The network up to layer4, and forward and backward behind it: what Grad-CAM needs."""
        kept: list[Tensor] = []
        handle = self.network.layer4.register_forward_hook(lambda *seen: kept.append(seen[2].requires_grad_()))
        torch.autograd.grad(self.network(self.batch.image).sum(), kept)
        handle.remove()

    def explain(self, plugin: Explainer, micro_batch: int = 1) -> Callable[[], object]:
        def run() -> None:
            with torch.set_grad_enabled(plugin.threat == "white-box"):
                plugin(Guarded(self.target, plugin.threat, micro_batch), self.batch, CaseRandom.of([0]))

        return run

    def captum_lime(self, samples: int) -> Callable[[], object]:
        def run() -> None:
            rows = iter(draw(torch.Generator().manual_seed(0), samples, self.count).long()[:, None])
            lime = Lime(self.probability, SkLearnRidge(alpha=1.0), lambda *_, **__: 1.0, perturb_func=lambda *_, **__: next(rows))
            lime.attribute(self.batch.image, baselines=0, feature_mask=self.regions[:, None], n_samples=samples, return_input_shape=False)

        return run

    def feature_ablation(self) -> None:
        with torch.no_grad():
            FeatureAblation(self.probability).attribute(self.batch.image, baselines=0, feature_mask=self.regions[:, None])

    def one_by_one(self) -> None:
        """The loop an unhurried author writes."""
        with torch.no_grad():
            clean = self.probability(self.batch.image)
            for region in range(self.count):
                image = self.batch.image.clone()
                image[:, :, self.regions[0] == region] = 0
                (self.probability(image) - clean).abs()

    def monai_grad_cam(self) -> Callable[[], object]:
        cam = MonaiGradCAM(nn_module=copy.deepcopy(self.network), target_layers="layer4", postprocessing=lambda map_: map_)
        return lambda: cam(self.batch.image.clone().requires_grad_(), class_idx=0)

    def captum_grad_cam(self) -> Callable[[], object]:
        cam = LayerGradCam(self.network, self.network.layer4)
        return lambda: cam.attribute(self.batch.image.clone().requires_grad_(), target=0)


@pytest.mark.parametrize("name", NETWORKS)
def test_relevance_map(compare: Callable[..., None], name: str) -> None:
    work = Work(NETWORKS[name])
    jobs = {
        "bare forwards": work.forward(work.count + 1),
        f"bare forwards of the {work.changed} that blanking changes": work.forward(work.changed + 1),
        "relevance map": work.explain(RelevanceMap()),
        "relevance map, own minimum": work.explain(RelevanceMap(perturbation="min")),
        "relevance map, 1 volume at once": work.explain(RelevanceMap(chunk=1)),
        "relevance map, whole passes": work.explain(RelevanceMap(local=False)),
        "captum's feature ablation": work.feature_ablation,
        "one by one": work.one_by_one,
    }
    compare(f"relevance map, {work.count} superpixels, 4x64^3, {name}", jobs, "bare forwards")


@pytest.mark.parametrize("name", NETWORKS)
def test_lime(compare: Callable[..., None], name: str) -> None:
    work = Work(NETWORKS[name])
    jobs = {
        "bare forwards": work.forward(SAMPLES),
        "LIME": work.explain(LIME(samples=SAMPLES)),
        "LIME, passes of 8": work.explain(LIME(samples=SAMPLES), 8),
        "captum's LIME": work.captum_lime(SAMPLES),
    }
    compare(f"LIME, {SAMPLES} samples, {work.count} superpixels, 4x64^3, {name}", jobs, "bare forwards")


@pytest.mark.parametrize("name", NETWORKS)
def test_grad_cam(compare: Callable[..., None], name: str) -> None:
    work = Work(NETWORKS[name])
    jobs = {
        "forward and the head's backward": work.forward_and_head,
        "bare forward": work.forward(1),
        "Grad-CAM": work.explain(GradCAM()),
        "captum's Grad-CAM": work.captum_grad_cam(),
        "MONAI's Grad-CAM": work.monai_grad_cam(),
    }
    compare(f"Grad-CAM at layer4, 4x64^3, {name}", jobs, "forward and the head's backward")
