"""Input transformations: what they make of images of any shape and range, and that an attack gets a gradient through them."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from torch import Tensor, nn

from medrobust import registry
from medrobust.budgets import Norm
from medrobust.guard import BLACK_BOX, Fingerprint, Guarded
from medrobust.randomness import CaseRandom
from medrobust.targets.behind import Behind
from medrobust.targets.classification import ClassificationTarget
from medrobust.targets.precision import Reduced, parts
from medrobust.testing.bench import Bench
from medrobust.types import Batch, Case
from medrobust_attacks.explainers.grad_cam import GradCAM
from medrobust_defenses.input_transformations import JPEG, BitDepth, SpatialSmoothing
from medrobust_defenses.madry import Madry

SHAPES = {"grey": (2, 1, 16, 12), "colour": (2, 3, 16, 12), "volume": (2, 2, 5, 16, 12)}
RANGES = {"unit": (0.0, 1.0), "mammogram": (-1.0, 1.0), "HU": (-1000.0, 1000.0)}
NONE = torch.Generator()


class Shown(nn.Module):
    """Keeps what it is shown, and answers with one logit: a sum that weighs every voxel otherwise."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(scale))
        self.seen: list[Tensor] = []

    def forward(self, image: Tensor) -> Tensor:
        self.seen.append(image.detach())
        flat = image.flatten(1)
        weights = torch.sin(torch.arange(flat.shape[1], dtype=flat.dtype))
        return (self.weight * flat * weights).mean(1, keepdim=True) + (flat**2).mean(1, keepdim=True)


def images(shape: tuple[int, ...], low: float, high: float) -> Tensor:
    smooth = ndimage.gaussian_filter(np.random.default_rng(0).random(shape), (0,) * (len(shape) - 2) + (1, 1))
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    return torch.from_numpy(smooth).float() * (high - low) + low


def batch(image: Tensor) -> Batch:
    return Batch(image, torch.arange(len(image)) % 2, tuple(Case(f"c{index}", f"p{index}", f"c{index}") for index in range(len(image))))


def target(scale: float = 1.0) -> ClassificationTarget:
    return ClassificationTarget(Shown(scale).eval(), "0123456789ab")


def shown(defense: Any, image: Tensor) -> Tensor:
    """What the network behind the defense sees."""
    defended = defense(target(), None, NONE)
    with torch.no_grad():
        defended(image, batch(image))
    found: Tensor = defended.network.inner.seen[-1]
    return found


def slices(image: Tensor) -> list[tuple[Any, ...]]:
    """Places of all 2-D slices of images or volumes."""
    return list(np.ndindex(*image.shape[:-2]))


def stored(pixels: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="jpeg", quality=quality)
    return np.asarray(Image.open(file)).astype(float)


@pytest.mark.parametrize("limits", list(RANGES))
@pytest.mark.parametrize("kind", list(SHAPES))
def test_jpeg_is_that_of_the_library_slice_by_slice_in_the_datas_own_range(kind: str, limits: str) -> None:
    (low, high), quality = RANGES[limits], 30
    image = images(SHAPES[kind], low, high)
    found = (shown(JPEG(quality, low, high), image) - low) / (high - low) * 255
    pixels = np.rint((image.double().numpy() - low) / (high - low) * 255).astype(np.uint8)
    if kind == "colour":
        expected = np.stack([stored(np.ascontiguousarray(np.moveaxis(one, 0, -1)), quality) for one in pixels])
        expected = np.moveaxis(expected, -1, 1)
    else:
        expected = np.zeros(pixels.shape)
        for place in slices(image):
            expected[place] = stored(pixels[place], quality)
    assert np.abs(found.numpy() - expected).max() < 1e-2
    assert np.abs(expected - pixels).max() > 4


@pytest.mark.parametrize("limits", list(RANGES))
@pytest.mark.parametrize("kind", list(SHAPES))
@pytest.mark.parametrize("bits", [1, 3])
def test_bits_are_evenly_spaced_levels_of_the_range(kind: str, limits: str, bits: int) -> None:
    low, high = RANGES[limits]
    image = images(SHAPES[kind], low, high)
    found = shown(BitDepth(bits, low, high), image)
    levels = torch.linspace(low, high, 2**bits)
    nearest = levels[(image[..., None] - levels).abs().argmin(-1)]
    assert torch.allclose(found, nearest, atol=1e-4 * (high - low))
    assert found.unique().numel() <= 2**bits


@pytest.mark.parametrize("limits", list(RANGES))
@pytest.mark.parametrize("kind", list(SHAPES))
@pytest.mark.parametrize("window", [3, 5])
@pytest.mark.parametrize("statistic", ["median", "mean"])
def test_smoothing_takes_the_median_or_mean_of_each_slices_window(kind: str, limits: str, window: int, statistic: str) -> None:
    low, high = RANGES[limits]
    image = images(SHAPES[kind], low, high)
    found = shown(SpatialSmoothing(window, statistic, low, high), image)
    for place in slices(image):
        plane = image[place].double().numpy()
        median = statistic == "median"
        reference = ndimage.median_filter(plane, window, mode="reflect") if median else ndimage.uniform_filter(plane, window, mode="nearest")
        assert np.abs(found[place].numpy() - reference).max() < 1e-4 * (high - low)


DEFENSES = [JPEG(40), BitDepth(2), SpatialSmoothing(3), SpatialSmoothing(3, "mean")]
NAMES = ["jpeg", "bit-depth", "median", "mean"]


@pytest.mark.parametrize("defense", DEFENSES[:3], ids=NAMES[:3])
def test_backwards_it_is_the_identity_at_the_image_that_the_network_sees(defense: Any) -> None:
    image = images(SHAPES["grey"], 0.0, 1.0).requires_grad_()
    defended = defense(target(), None, NONE)
    (found,) = torch.autograd.grad(defended.loss(image, batch(image)).sum(), image)
    seen = shown(defense, image.detach()).requires_grad_()
    (expected,) = torch.autograd.grad(target().loss(seen, batch(seen)).sum(), seen)
    assert torch.allclose(found, expected, atol=1e-7)
    assert float(found.abs().max()) > 1e-4


def test_the_means_gradient_is_its_own() -> None:
    defended = SpatialSmoothing(3, "mean")(ClassificationTarget(Shown().double().eval(), "0" * 12), None, NONE)  # type: ignore[arg-type]
    image = images((2, 1, 5, 4), 0.0, 1.0).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda one: defended.loss(one, batch(one)), (image,))


@pytest.mark.parametrize("defense", DEFENSES, ids=NAMES)
def test_what_a_case_is_shown_depends_on_no_other_and_black_box_probes_get_no_graph(defense: Any) -> None:
    image = images((4, 1, 16, 12), 0.0, 1.0)
    defended = defense(target(), None, NONE)
    whole = Guarded(defended, micro_batch=4)(image, batch(image))
    alone = Guarded(defended)(image, batch(image))
    assert torch.equal(whole, alone)
    black = Guarded(defended, BLACK_BOX)
    assert not black(image.clone().requires_grad_(), batch(image)).requires_grad
    with pytest.raises(AttributeError, match="closed to black-box"):
        _ = black.network


@pytest.mark.parametrize("defense", DEFENSES, ids=NAMES)
def test_the_target_is_left_alone_and_attacks_leave_the_defended_one_alone(defense: Any) -> None:
    model = target()
    before = Fingerprint.of(model)
    defended = defense(model, None, NONE)
    assert not before.changes(Fingerprint.of(model))
    whole = Fingerprint.of(defended)
    image = images(SHAPES["grey"], 0.0, 1.0)
    attacked = Madry(Norm(epsilon=0.1, low=0.0, high=1.0), steps=3).attacked(Guarded(defended), batch(image), CaseRandom.of(range(2)))
    assert not whole.changes(Fingerprint.of(defended))
    assert bool((defended.loss(attacked.image, attacked) > defended.loss(image, attacked)).all())
    assert not any(part.training for part in defended.network.modules())


def test_every_setting_and_every_classifier_has_a_digest_of_its_own() -> None:
    made = [defense(target(), None, NONE).digest for defense in (*DEFENSES, JPEG(41), JPEG(40, 0.0, 2.0), BitDepth(3), SpatialSmoothing(5))]
    made += [target().digest, JPEG(40)(ClassificationTarget(Shown(), "f" * 12), None, NONE).digest]  # type: ignore[arg-type]
    assert len(set(made)) == len(made)
    assert JPEG(40)(target(), None, NONE).digest == made[0]  # type: ignore[arg-type]


@pytest.mark.parametrize("defense", DEFENSES[:3], ids=NAMES[:3])
def test_another_range_than_the_datas_is_refused_and_a_perturbation_is_cut(defense: Any) -> None:
    for wrong in (images(SHAPES["grey"], -1.0, 1.0), images(SHAPES["grey"], 0.0, 255.0), images(SHAPES["volume"], -1000.0, 1000.0)):
        with pytest.raises(ValueError, match=r"^low and high: found intensities from .* to .*, expected 0 to 1$"):
            shown(defense, wrong)
    beyond = images(SHAPES["grey"], -0.1, 1.1)
    assert torch.equal(shown(defense, beyond), shown(defense, beyond.clamp(0, 1)))
    with pytest.raises(ValueError, match=r"^image: found the shape \(2, 16\), expected"):
        shown(defense, torch.zeros(2, 16))


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: JPEG(0), "quality: found 0, expected a whole number of 1 to 100"),
        (lambda: BitDepth(17), "bits: found 17, expected a whole number of 1 to 16"),
        (lambda: SpatialSmoothing(4), "window: found 4, expected an odd number of pixels, at least 3"),
        (lambda: SpatialSmoothing(statistic="mode"), "statistic: found 'mode', expected median or mean"),
        (lambda: JPEG(low=1.0), "low and high: found 1.0 and 1.0, expected two numbers, the lower first"),
        (lambda: BitDepth(high=float("inf")), "low and high: found 0.0 and inf"),
    ],
)
def test_impossible_settings_are_refused(make: Callable[[], object], line: str) -> None:
    with pytest.raises(ValueError, match=line):
        make()


@pytest.mark.parametrize("task", ["reconstruction", "segmentation"])
def test_other_tasks_are_refused_in_one_line(task: str) -> None:
    bench = Bench.suited(None, task)
    for name in ("jpeg", "bit-depth", "spatial-smoothing"):
        with pytest.raises(TypeError, match=f"^{name}: found a target of type .*, expected a classification network$"):
            registry.build("defenses", name, {}, name)(bench.target(), bench.data(), NONE)


def test_explainers_find_the_layers_of_a_network_behind_a_transformation() -> None:
    bench = Bench(size=16, task="classification")
    defended = BitDepth(6)(bench.target(), bench.data(), NONE)
    explained = GradCAM()(Guarded(defended), bench.batch(), bench.random(bench.batch().cases))
    assert explained.relevance.shape == (4, 16, 16, 16)
    network = bench.target().network
    assert list(parts(Behind(Reduced(network), torch.nn.Identity()))) == list(parts(network))
