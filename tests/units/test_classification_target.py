"""Classifiers: probabilities and losses by their formulas, the ResNet's options, and one volume computed like many."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import one_hot

from medrobust.randomness import CaseRandom
from medrobust.targets import zoo
from medrobust.targets.classification import ClassificationTarget, entropy, score
from medrobust.targets.networks.convolution import Convolution3d, with_fast_convolutions
from medrobust.targets.networks.standardised import StandardisedLinear
from medrobust.targets.resnet import LAYERS, ResNet
from medrobust.testing import Bench, BrokenPromise, target_promises
from medrobust.testing.volumes import VolumeData
from medrobust.types import Batch, Case

SMALL = {"depth": 10, "widths": (4, 6, 8, 8)}
BENCH = Bench.suited(ResNet)
PROMISES = {promise.number: promise for promise in target_promises()}


class Fixed(nn.Module):
    """Answers with the same logits whatever it is shown."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.register_buffer("logits", logits)

    def forward(self, image: Tensor) -> Tensor:
        return self.logits + 0 * image.sum()


def target(*logits: list[float]) -> tuple[ClassificationTarget, Batch]:
    image = torch.zeros(len(logits), 4, 2, 2, 2)
    cases = tuple(Case(f"c{i}", f"c{i}", f"c{i}") for i in range(len(logits)))
    return ClassificationTarget(Fixed(torch.tensor(logits)), "0" * 12), Batch(image, torch.arange(len(logits)) % 2, cases)


def test_one_logit_is_the_probability_of_class_one() -> None:
    classifier, batch = target([0.0], [math.log(3.0)])
    prediction = classifier(batch.image, batch)
    torch.testing.assert_close(prediction, torch.tensor([[0.5], [0.75]]))
    torch.testing.assert_close(score(prediction), torch.tensor([0.5, 0.75]))
    torch.testing.assert_close(classifier.loss(batch.image, batch), torch.tensor([math.log(2.0), -math.log(0.75)]))


def test_several_logits_are_probabilities_of_all_classes() -> None:
    classifier, batch = target([0.0, 0.0, math.log(2.0)], [0.0, math.log(6.0), 0.0])
    prediction = classifier(batch.image, batch)
    torch.testing.assert_close(prediction, torch.tensor([[0.25, 0.25, 0.5], [0.125, 0.75, 0.125]]))
    torch.testing.assert_close(score(prediction), torch.tensor([0.5, 0.125]))
    torch.testing.assert_close(classifier.loss(batch.image, batch), torch.tensor([-math.log(0.25), -math.log(0.75)]))


@given(st.lists(st.floats(-80, 80, width=32), min_size=1, max_size=6), st.integers(0, 63))
def test_one_logit_loses_what_two_logits_lose(values: list[float], bits: int) -> None:
    logits = torch.tensor(values)[:, None]
    truth = torch.tensor([bits >> i & 1 for i in range(len(values))])
    pair = torch.cat([torch.zeros_like(logits), logits], 1)
    torch.testing.assert_close(entropy(logits, truth), entropy(pair, truth), rtol=1e-5, atol=1e-6)
    direct = -(one_hot(truth, 2) * pair.double().log_softmax(1)).sum(1)
    torch.testing.assert_close(entropy(pair, truth).double(), direct, rtol=1e-5, atol=1e-6)


def test_a_saturated_prediction_loses_a_finite_amount() -> None:
    classifier, batch = target([1e4], [-1e4])
    assert classifier(batch.image, batch).flatten().tolist() == [1.0, 0.0]
    assert classifier.loss(batch.image, batch).tolist() == [1e4, 1e4]


def test_a_copy_on_another_device_leaves_the_first_alone() -> None:
    classifier, batch = target([0.3])
    moved = classifier.to("cpu")
    moved.network.logits.add_(1)  # type: ignore[operator]
    assert moved.digest == classifier.digest
    assert float(classifier(batch.image, batch)) == pytest.approx(1 / (1 + math.exp(-0.3)))


@pytest.mark.parametrize("fields", [{"depth": 10}, {"depth": 18}, {"depth": 50}, {"depth": 10, "shortcut": "A"}, {"depth": 10, "max_pool": False}])
def test_every_depth_and_shortcut_answers(fields: dict[str, object]) -> None:
    network = ResNet(**{"widths": (4, 4, 8, 8), "classes": 3, **fields}).build().eval()  # type: ignore[arg-type]
    with torch.no_grad():
        assert network(torch.rand(2, 4, 16, 12, 9)).shape == (2, 3)


def test_the_published_resnet_50_can_be_built_and_asked() -> None:
    network = ResNet().build().eval()
    assert sum(parameter.numel() for parameter in network.parameters()) == 46_226_817
    with torch.no_grad():
        assert network(torch.rand(1, 4, 8, 8, 8)).isfinite().all()


def test_stem_stride_and_pooling_halve_the_volume() -> None:
    def edge(**fields: object) -> int:
        network = ResNet(**{**SMALL, **fields}).build().eval()  # type: ignore[arg-type]
        seen: list[int] = []
        network.layer1.register_forward_hook(lambda module, given, answer: seen.append(answer.shape[-1]))  # type: ignore[operator, union-attr]
        network(torch.rand(1, 4, 32, 32, 32))
        return seen[0]

    assert edge() == 16
    assert edge(max_pool=False) == 32
    assert edge(stem_stride=2) == 8
    assert edge(stem_stride=2, max_pool=False, stem=3) == 16


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 11}, "depth: found 11, expected one of 10, 18, 34, 50"),
        ({"shortcut": "C"}, "shortcut: found 'C', expected one of A, B"),
        ({"widths": (8, 16, 32)}, "expected four numbers of channels"),
        ({"widths": (8, 16, 32, 0)}, "each at least 1"),
        ({"stem": 4}, "stem: found 4, expected an odd number"),
        ({"stem_stride": 0}, "stem_stride: found 0, expected at least 1"),
        ({"channels": 0}, "channels: found 0, expected at least 1"),
        ({"classes": 0}, "classes: found 0, expected at least 1"),
    ],
)
def test_options_that_make_no_sense_are_one_line(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ResNet(**options)  # type: ignore[arg-type]


def test_every_listed_depth_is_one_of_the_family() -> None:
    def convolutions(depth: int) -> int:
        per_block = 3 if depth == 50 else 2
        return 2 + per_block * sum(LAYERS[depth])

    assert all(convolutions(depth) == depth for depth in LAYERS)


def test_the_architecture_is_a_target_of_the_registry() -> None:
    made = zoo.untrained("resnet", SMALL)
    assert made.task == "classification"
    assert zoo.untrained("resnet", SMALL).digest == made.digest
    assert zoo.untrained("resnet", {**SMALL, "stem": 5}).digest != made.digest


@given(
    channels=st.integers(1, 6),
    edge=st.integers(3, 9),
    kernel=st.sampled_from([1, 3, 5]),
    stride=st.integers(1, 2),
    bias=st.booleans(),
    training=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_one_volume_is_convolved_as_torch_does(channels: int, edge: int, kernel: int, stride: int, bias: bool, training: bool, seed: int) -> None:
    torch.manual_seed(seed)
    plain = nn.Conv3d(channels, 5, kernel, stride, kernel // 2, bias=bias)
    network = with_fast_convolutions(nn.Sequential(plain, nn.ReLU())).train(training)
    assert type(network[0]) is Convolution3d  # type: ignore[index]
    assert network[0].weight is plain.weight  # type: ignore[index]
    image = torch.randn(1, channels, edge, edge + 1, edge)
    leaf, other = image.clone().requires_grad_(), image.clone().requires_grad_()
    found, expected = network(leaf), plain(other).relu()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    mine = torch.autograd.grad(found.square().sum(), [leaf, plain.weight])
    for one, reference in zip(mine, torch.autograd.grad(expected.square().sum(), [other, plain.weight]), strict=True):
        torch.testing.assert_close(one, reference, rtol=1e-3, atol=1e-3)


def test_gradients_in_double_precision_are_right() -> None:
    network = ResNet(depth=10, widths=(2, 2, 2, 2), stem=3).build().double().eval()
    image = torch.rand(1, 4, 6, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert torch.autograd.gradcheck(network, (image,), fast_mode=True)


def test_the_bench_has_volumes_a_classifier_reads() -> None:
    batch, classifier = BENCH.batch(), BENCH.target()
    assert isinstance(BENCH.data(), VolumeData)
    assert batch.image.shape == (4, 4, 16, 16, 16)
    assert batch.image.dtype == torch.float32
    assert torch.equal(batch.image.amin((2, 3, 4)), torch.zeros(4, 4))
    assert torch.equal(batch.image.amax((2, 3, 4)), torch.ones(4, 4))
    for name in ("tumour", "brain"):
        assert batch.context[name].shape == (4, 1, 16, 16, 16)
        assert batch.context[name].dtype == torch.bool
    assert not bool((batch.context["tumour"] & ~batch.context["brain"]).any())
    assert batch.truth.tolist() == [1, 0, 1, 0]
    with torch.no_grad():
        sure = score(classifier(batch.image, batch))
        blank = score(classifier(batch.image * ~batch.context["tumour"], batch))
    assert torch.equal((sure > 0.5).long(), batch.truth)
    assert ((sure - blank)[batch.truth == 1] > 0.1).all()
    assert len(BENCH.random(batch.cases)) == len(batch)
    assert isinstance(BENCH.random(batch.cases), CaseRandom)


class Narrow(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return image.mean((2, 3, 4))[:2]


class Maps(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return image


class Bare(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return image.mean((1, 2, 3, 4))[:, None].double()


class NaN(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return image.mean((1, 2, 3, 4))[:, None] * torch.nan


class WholeBatch(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return (image.mean((1, 2, 3, 4)) * 9 / image.mean())[:, None] - 9


@pytest.mark.parametrize(
    ("number", "network", "found"),
    [
        ("T2", Narrow(), r"\(2, 4\), expected \(4, classes\)"),
        ("T2", Maps(), r"expected \(4, classes\)"),
        ("T2", Bare(), "float64"),
        ("T2", NaN(), "NaN"),
        ("T4", WholeBatch(), "differs"),
        ("T5", Fixed(torch.zeros(4, 1)), "zero everywhere"),
    ],
)
def test_a_broken_classifier_is_caught_on_the_bench_of_its_task(number: str, network: nn.Module, found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ResNet, "build", lambda self: network)
    with pytest.raises(BrokenPromise, match=f"^{number} ResNet .*({found})"):
        PROMISES[number](ResNet())


def test_a_standardised_head_is_one_linear_map_in_evaluation() -> None:
    torch.manual_seed(0)
    head = StandardisedLinear(6, 2)
    features = 5 + torch.randn(40, 6) * torch.tensor([0.1, 1.0, 2.0, 0.5, 3.0, 0.01])
    standard = (features - features.mean(0)) / (features.var(0, unbiased=False) + head.statistics.eps).sqrt()
    torch.testing.assert_close(head(features), standard @ head.weight.T + head.bias, rtol=1e-3, atol=1e-3)
    head.eval()
    kept = head.statistics(features) @ head.weight.T + head.bias
    torch.testing.assert_close(head(features), kept, rtol=1e-4, atol=1e-4)
    middle = (features[:1] + features[1:2]) / 2
    torch.testing.assert_close(head(middle), (head(features[:1]) + head(features[1:2])) / 2, rtol=1e-4, atol=1e-4)
    assert head(features[:1]).shape == (1, 2)


def test_a_standardised_resnet_keeps_every_promise() -> None:
    for promise in PROMISES.values():
        promise(ResNet(**SMALL, standardised=True))  # type: ignore[arg-type]
    assert zoo.untrained("resnet", {**SMALL, "standardised": True}).digest != zoo.untrained("resnet", SMALL).digest
