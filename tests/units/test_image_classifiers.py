"""Readers of images: networks of the shapes that are asked for, and images varied as said and no further."""

from __future__ import annotations

import pytest
import torch
from skimage.transform import rotate
from torch import nn

from medrobust.randomness import CaseRandom
from medrobust.targets.classification import ClassificationTarget
from medrobust.targets.image_classifiers import DenseNet2D, ResNet2D
from medrobust.training.images import ImageCrossEntropy
from medrobust.types import Batch, Case

NOTHING = ImageCrossEntropy((), 0.0, 0.0, 0.0, 0.0, 0.0)


def image(rows: int = 48, columns: int = 32) -> torch.Tensor:
    """A smooth bright spot off the middle, on a background of -1, twice."""
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    spot = torch.exp(-((row - 16.0) ** 2 + (column - 20.0) ** 2) / 40)
    return (2 * spot - 1).expand(2, 1, rows, columns).contiguous()


def streams(seed: int = 0, count: int = 2) -> CaseRandom:
    return CaseRandom.of([seed + index for index in range(count)])


def middle(picture: torch.Tensor) -> torch.Tensor:
    """Row and column of the centre of mass above the background."""
    mass = picture + 1
    places = torch.stack(torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in picture.shape), indexing="ij"))
    return (places * mass).sum((1, 2)) / mass.sum()


@pytest.mark.parametrize("config", [ResNet2D(10, (4, 4, 8, 8), "max"), ResNet2D(18, (4, 4, 8, 8), stem=3), DenseNet2D(8, 4, (2, 2, 2), "max")])
@pytest.mark.parametrize("size", [(64, 64), (64, 48)])
def test_an_image_of_any_size_has_one_logit(config: ResNet2D | DenseNet2D, size: tuple[int, int]) -> None:
    network = config.build().eval()
    assert network(torch.randn(3, 1, *size)).shape == (3, 1)


@pytest.mark.parametrize("build", [lambda pooling: ResNet2D(10, (4, 4, 8, 8), pooling), lambda pooling: DenseNet2D(8, 4, (2, 2, 2), pooling)])
def test_the_pooling_is_the_one_that_is_named(build: type[ResNet2D]) -> None:
    kinds = {"max": nn.AdaptiveMaxPool2d, "mean": nn.AdaptiveAvgPool2d}
    for name, kind in kinds.items():
        assert [type(part) for part in build(name).build().modules() if isinstance(part, tuple(kinds.values()))] == [kind]  # type: ignore[arg-type]


def test_the_published_densenet_has_its_weights() -> None:
    parameters = sum(parameter.numel() for parameter in DenseNet2D().build().parameters())
    assert parameters == 6_948_609  # torchvision's 7,978,856 with 1 channel instead of 3 and 1 class instead of 1000


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ResNet2D(50), r"^depth: found 50, expected one of 10, 18, 34$"),
        (lambda: ResNet2D(pooling="sum"), r"^pooling: found 'sum', expected one of mean, max$"),
        (lambda: ResNet2D(widths=(4, 4, 4, 0)), r"^widths: found \[4, 4, 4, 0\], expected 4 numbers, each at least 1$"),
        (lambda: ResNet2D(stem=4), r"^stem: found 4, expected an odd number"),
        (lambda: DenseNet2D(blocks=()), r"^blocks: found \[\], expected 1 numbers"),
        (lambda: DenseNet2D(growth=0), r"^growth: found 0, expected at least 1$"),
        (lambda: ImageCrossEntropy(flips=(2,)), r"^flips: found \[2\], expected different axes among 0, 1$"),
        (lambda: ImageCrossEntropy(gain=1.0), r"^gain: found 1.0, expected a number in \[0, 1\)$"),
        (lambda: ImageCrossEntropy(turn=-1.0), r"^turn: found -1.0, expected a number in"),
    ],
)
def test_impossible_settings_are_refused(make: type[ResNet2D], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_nothing_is_varied_where_nothing_is_asked_for() -> None:
    assert torch.equal(NOTHING.varied(image(), streams()), image())


def test_a_turn_is_one_of_at_most_so_many_degrees_on_pixels_that_are_square() -> None:
    objective = ImageCrossEntropy((), 30.0, 0.0, 0.0, 0.0, 0.0)
    made = objective.varied(image(), streams())
    for row, seed in enumerate((0, 1)):
        angle = float(CaseRandom.of([seed]).uniform(-30, 30))
        reference = torch.from_numpy(rotate((image()[row, 0] + 1).numpy(), angle, order=1)) - 1
        other = torch.from_numpy(rotate((image()[row, 0] + 1).numpy(), -angle, order=1)) - 1
        closer = (made[row, 0] - reference).abs().max()
        assert min(float(closer), float((made[row, 0] - other).abs().max())) < 0.02


def test_a_shift_moves_and_a_scale_enlarges_and_what_comes_in_is_background() -> None:
    moved = ImageCrossEntropy((), 0.0, 0.2, 0.0, 0.0, 0.0).varied(image(), streams(5))
    far = (middle(moved[0, 0]) - middle(image()[0, 0])).abs()
    assert 0.5 < float(far.max()) < 0.2 * 48 + 1
    assert float(moved.min()) == -1.0
    sizes = [float((one + 1).sum()) for one in ImageCrossEntropy((), 0.0, 0.0, 0.3, 0.0, 0.0).varied(image(), streams(7))]
    whole = float((image()[0] + 1).sum())
    assert all(0.7**2 * whole < size < 1.3**2 * whole for size in sizes)
    assert max(abs(size - whole) for size in sizes) > 0.05 * whole


def test_a_gain_leaves_the_background_and_the_range() -> None:
    made = ImageCrossEntropy((), 0.0, 0.0, 0.0, 0.5, 0.0).varied(image(), streams())
    assert torch.allclose(made[:, :, -1], torch.tensor(-1.0), atol=1e-4)
    assert float(made.max()) <= 1
    assert not torch.allclose(made, image())


def test_what_a_case_is_shown_depends_on_no_other() -> None:
    objective = ImageCrossEntropy((0, 1), noise=0.05)
    both = objective.varied(image(), streams(3))
    assert torch.equal(both[1:], objective.varied(image()[1:], CaseRandom.of([4])))


def test_the_loss_is_the_mean_cross_entropy_of_the_varied_images() -> None:
    network = ResNet2D(10, (4, 4, 8, 8)).build().eval()
    target = ClassificationTarget(network, "0" * 12)
    cases = tuple(Case(f"c{index}", "p", "g") for index in range(2))
    (loss,) = NOTHING.losses(target, Batch(image(), torch.tensor([0, 1]), cases), streams())
    logits = network(image())[:, 0]
    by_hand = (nn.functional.softplus(logits[0]) + nn.functional.softplus(-logits[1])) / 2
    assert torch.allclose(loss, by_hand)
