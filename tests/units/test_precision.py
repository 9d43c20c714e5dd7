"""Networks in reduced precision: another target with answers close to the first one's, under every explainer, named and refused in one line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from medrobust.assemble import assemble
from medrobust.cell import Cell
from medrobust.data.glioma_phantom import GliomaPhantom
from medrobust.data.phantom import MRIPhantom
from medrobust.digests import plain
from medrobust.errors import SpecError
from medrobust.imaging.relevance import region_scores, spearman
from medrobust.plan import plan
from medrobust.randomness import CaseRandom
from medrobust.targets import zoo
from medrobust.targets.classification import ClassificationTarget
from medrobust.targets.precision import reduced
from medrobust.types import Batch
from medrobust_attacks.explainers.grad_cam import GradCAM
from medrobust_attacks.explainers.relevance_map import RelevanceMap

TOLERANCE = 0.02
"""Of a probability and of a reconstruction in standard deviations: bfloat16 keeps 8 bits."""


@pytest.fixture(scope="module")
def resnet() -> ClassificationTarget:
    found = zoo.load("roi-resnet")
    assert isinstance(found, ClassificationTarget)
    return found


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Batch]:
    """Three phantoms of both grades."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDROBUST_CACHE", str(tmp_path_factory.mktemp("cache")))
        data = GliomaPhantom(train=0, val=0, test=3)
        yield data.load(list(data.cases("test")))


def test_it_is_another_target_whose_answers_are_close(resnet: ClassificationTarget, volumes: Batch) -> None:
    batch = volumes
    half = reduced(resnet, "bfloat16")
    assert reduced(resnet, "float32") is resnet
    assert half.digest != resnet.digest
    assert reduced(resnet, "bfloat16").digest == half.digest
    with torch.inference_mode():
        found, expected = half(batch.image, batch), resnet(batch.image, batch)
    assert found.dtype == torch.float32
    assert not torch.equal(found, expected)
    assert torch.allclose(found, expected, atol=TOLERANCE)
    assert float(expected.max() - expected.min()) > 20 * TOLERANCE, "answers of both kinds"
    image = batch.image.clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(half.loss(image, batch).sum(), image)
    assert slope.dtype == torch.float32
    assert slope.abs().max() > 0


@pytest.mark.parametrize("local", [True, False])
def test_relevance_maps_are_those_of_the_target_to_its_precision(resnet: ClassificationTarget, volumes: Batch, local: bool) -> None:
    batch = volumes.select([int(volumes.truth.argmax())])
    half, explainer = reduced(resnet, "bfloat16"), RelevanceMap(segments=100, local=local)
    found, expected = (explainer(target, batch, CaseRandom.of([0])) for target in (half, resnet))
    regions = expected.regions
    assert regions is not None
    scores, wanted = (region_scores(each.relevance[0], regions[0]) for each in (found, expected))
    assert len(wanted) > 20
    assert float(wanted.max()) > 10 * TOLERANCE, "far from a map of zeros"
    assert torch.allclose(scores, wanted, atol=TOLERANCE)
    assert int(scores.argmax()) == int(wanted.argmax())
    assert spearman(scores[wanted > TOLERANCE], wanted[wanted > TOLERANCE]) > 0.9
    by_hand = RelevanceMap(segments=100, local=False)(half, batch, CaseRandom.of([0])).relevance
    assert torch.equal(found.relevance, by_hand), "in part only where the parts are what the network does"


def test_layers_are_named_as_in_the_network(resnet: ClassificationTarget, volumes: Batch) -> None:
    batch = volumes.select([0, 1])
    found, expected = (GradCAM()(target, batch, CaseRandom.of([0, 1])).relevance for target in (reduced(resnet, "bfloat16"), resnet))
    assert found.dtype == torch.float32
    assert torch.allclose(found, expected, atol=0.05 * float(expected.max()))
    with pytest.raises(ValueError, match=r"expected one of conv1, .*layer4"):
        GradCAM(layer="inner.layer4")(reduced(resnet, "bfloat16"), batch, CaseRandom.of([0, 1]))


def test_a_target_without_a_network_is_refused() -> None:
    class Bare:
        digest = "0" * 12

    with pytest.raises(SpecError, match="precision: found bfloat16 for a target of type Bare, expected one that holds a network"):
        reduced(Bare(), "bfloat16")  # type: ignore[arg-type]


def test_a_reconstructor_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDROBUST_CACHE", str(tmp_path))
    data = MRIPhantom(train=0, val=0, test=1, slices=2)
    batch, unet = data.load(list(data.cases("test"))), zoo.load("recon-unet")
    with torch.inference_mode():
        found, expected = reduced(unet, "bfloat16")(batch.image, batch), unet(batch.image, batch)
    assert not torch.equal(found, expected)
    assert (found - expected).abs().mean() < TOLERANCE * batch.image.std()


def test_a_spec_names_the_precision_and_it_is_part_of_the_cells(write_spec: Callable[..., str]) -> None:
    unet = "  - {name: unet, options: {channels: 4, pools: 2}}\n"
    entries = unet + unet.replace("}}", "}, precision: bfloat16}")
    cells = [cell for cell in plan(write_spec((unet, entries))).cells if cell.columns["attack"] == "none"]
    names = {cell.columns["target"]: cell.target_digest for cell in cells}
    assert set(names) >= {"unet", "unet bfloat16"}
    assert names["unet"] != names["unet bfloat16"]
    (chosen,) = [cell for cell in cells if cell.columns["target"] == "unet bfloat16"]
    assert Cell.of(plain(chosen)) == chosen
    assert assemble(chosen, "cpu").target.digest == chosen.target_digest
    text = r"^\S*spec.yaml:8: targets\[1\]\.precision: found \"int8\", expected 'float32' or 'bfloat16'$"
    with pytest.raises(SpecError, match=text):
        plan(write_spec((unet, unet.replace("}}", "}, precision: int8}"))))
