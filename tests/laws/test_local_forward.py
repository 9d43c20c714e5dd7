"""Logits of a changed volume, recomputed in part, are those of a whole pass; a network in which that is not so is refused."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from medrobust.targets.local.calls import NotLocalError
from medrobust.targets.local.forward import Answer, LocalForward, patched_logits, whole_logits
from medrobust.targets.local.steps import Window
from medrobust.targets.resnet import ResNet

CHANNELS = 2
WIDTHS = (3, 4, 5, 6)


def trained(network: nn.Module) -> nn.Module:
    """The network in evaluation, its normalisation with statistics and weights as of training."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            for tensor, low, high in ((module.running_mean, -0.5, 0.5), (module.running_var, 0.3, 2.0)):
                assert tensor is not None
                tensor.uniform_(low, high)
            if module.affine:
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.uniform_(module.bias, -0.3, 0.3)
    return network.eval()


def resnet(**options: object) -> nn.Module:
    torch.manual_seed(0)
    return trained(ResNet(**{"depth": 10, "widths": WIDTHS, "channels": CHANNELS, "classes": 2, **options}).build())  # type: ignore[arg-type]


def changes(space: tuple[int, ...], count: int, seed: int, longest: int = 6) -> tuple[Tensor, Tensor, list[Tensor]]:
    """A clean image, boxes, and what to put into them."""
    generator = torch.Generator().manual_seed(seed)
    ends = torch.tensor(space)
    low = (torch.rand(count, 3, generator=generator) * ends).long()
    high = torch.minimum(low + torch.randint(1, longest + 1, (count, 3), generator=generator), ends)
    boxes = torch.stack([low, high], -1)
    clean = torch.rand(1, CHANNELS, *space, generator=generator)
    return clean, boxes, [3 * torch.randn(CHANNELS, *(high - low).tolist(), generator=generator) for low, high in zip(low, high, strict=True)]


def assert_exact(network: nn.Module, space: tuple[int, ...], count: int = 12, seed: int = 0, longest: int = 6, chunk: int = 5) -> Answer:
    """The answer in part, seen to be that of whole passes."""
    clean, boxes, patches = changes(space, count, seed, longest)
    answer = patched_logits(network, clean, boxes, patches.__getitem__, chunk)
    whole = whole_logits(network, clean, boxes, patches.__getitem__)
    assert answer.why == ""
    torch.testing.assert_close(answer.logits, whole, rtol=1e-5, atol=1e-5 * float(whole.abs().max()))
    if count * longest > 50:
        with torch.no_grad():
            assert (whole - network(clean)).abs().max() > 1e-3 * whole.abs().max()
    return answer


@pytest.mark.parametrize(("stride", "pool", "shortcut", "depth"), list(product([1, 2], [False, True], "AB", [10, 50])))
def test_resnets_are_recomputed_exactly(stride: int, pool: bool, shortcut: str, depth: int) -> None:
    answer = assert_exact(resnet(stem_stride=stride, max_pool=pool, shortcut=shortcut, depth=depth), (24, 20, 26))
    assert 0 < answer.share < 0.4


NETWORKS = [resnet(), resnet(stem_stride=2, max_pool=False, shortcut="A", stem=5)]


@settings(deadline=None, max_examples=25)
@given(
    st.sampled_from(NETWORKS),
    st.tuples(*[st.integers(9, 20)] * 3),
    st.integers(1, 6),
    st.sampled_from([1, 4, 20]),
    st.integers(1, 4),
    st.integers(0, 2**16),
)
def test_any_boxes_are_recomputed_exactly(network: nn.Module, space: tuple[int, ...], count: int, longest: int, chunk: int, seed: int) -> None:
    assert_exact(network, space, count, seed, longest, chunk)


class Head(nn.Module):
    """A network of `body`, global pooling and a linear layer."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body, self.linear = body, nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.body(x).mean((2, 3, 4)))
        return logits


class Function(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def written_in_place(x: Tensor) -> Tensor:
    kept = x.detach()
    return x.sin().mul_(2).add_(kept).relu_() + kept


def written_after_it_is_read(x: Tensor) -> Tensor:
    pooled = nn.functional.max_pool3d(x, 3, 1)
    return torch.cat([pooled, nn.functional.max_pool3d(x.neg_(), 3, 1)], 1)


PLACES = torch.rand(1, 4, 24, 20, 26)
BODIES = {
    "dilated, grouped, strided": [nn.Conv3d(2, 4, 3, (3, 1, 2), dilation=2), nn.Conv3d(4, 4, (1, 3, 5), padding=(0, 2, 4), groups=2, bias=False)],
    "ceil pooling": [nn.Conv3d(2, 4, 3), nn.MaxPool3d(3, 2, 1, ceil_mode=True), nn.Conv3d(4, 4, 3)],
    "pooling with gaps": [nn.MaxPool3d(2, 4), nn.Conv3d(2, 4, 1, stride=2, padding=1)],
    "average pooling": [nn.Conv3d(2, 4, 3, padding=1), nn.AvgPool3d(3, 2), nn.LeakyReLU(0.1, inplace=True)],
    "dropout": [nn.Conv3d(2, 4, 3), nn.Dropout3d(), nn.BatchNorm3d(4, affine=False), nn.SiLU(inplace=True), nn.ELU()],
    "no convolution first": [nn.BatchNorm3d(2), nn.ReLU(inplace=True), nn.Conv3d(2, 4, 3)],
    "two paths": [nn.Conv3d(2, 4, 3, padding=1), Function(lambda x: torch.cat([x.relu(), x * x], 1)), nn.Conv3d(8, 4, 3)],
    "a place for everything": [nn.Conv3d(2, 4, 3, padding=1), Function(lambda x: x + PLACES), nn.ReLU(), nn.Conv3d(4, 4, 3)],
    "scalars and channels": [nn.Conv3d(2, 4, 3), Function(lambda x: (2 - x / torch.full((1, 4, 1, 1, 1), 0.5)).clamp(min=0.1))],
    "in place, under another name": [nn.Conv3d(2, 4, 3, padding=1), Function(written_in_place), nn.Conv3d(4, 4, 3)],
    "in place, after it was read": [nn.Conv3d(2, 2, 3), Function(written_after_it_is_read)],
    "pooled to a grid": [nn.Conv3d(2, 4, 3), nn.AdaptiveAvgPool3d(2), nn.ReLU()],
}


@pytest.mark.parametrize("name", list(BODIES))
def test_other_layers_are_recomputed_exactly(name: str) -> None:
    torch.manual_seed(1)
    assert_exact(Head(trained(nn.Sequential(*BODIES[name]))), (24, 20, 26))


def excited(x: Tensor) -> Tensor:
    return x * x.mean((2, 3, 4), keepdim=True).sigmoid()


def changed_meanwhile(x: Tensor) -> Tensor:
    other = x.detach()
    other.relu_()
    return x


REFUSED = {
    "instance": (nn.InstanceNorm3d(4), "statistics of the volume"),
    "instance with statistics": (nn.InstanceNorm3d(4, affine=True), "statistics of the volume"),
    "group": (nn.GroupNorm(2, 4), "native_group_norm"),
    "training": (nn.BatchNorm3d(4).train(), "statistics of the volume"),
    "dropout in training": (nn.Dropout3d().train(), "new_empty|random numbers"),
    "squeeze and excitation": (Function(excited), "different spaces"),
    "noise": (Function(lambda x: x + torch.rand_like(x)), "random numbers"),
    "changed under another name": (Function(changed_meanwhile), "in place"),
    "softmax over space": (Function(lambda x: x.flatten(2).softmax(2).view(x.shape)), "_softmax"),
    "a roll": (Function(lambda x: x.roll(1, 2)), "roll"),
    "a mean over volumes": (Function(lambda x: x - x.mean(0, keepdim=True)), "batch"),
    "indices": (Function(lambda x: nn.functional.max_pool3d(x, 2, return_indices=True)[1] * 0.1), "indices of a maximum"),
    "average pooling with a border": (nn.AvgPool3d(3, 1, 1), "windows"),
    "transposed": (nn.ConvTranspose3d(4, 4, 2, 2), "transposed"),
    "weights of the image": (Function(lambda x: nn.functional.conv3d(x, x.mean((2, 3, 4), keepdim=True)).expand(1, 4, -1, -1, -1)), "weights that"),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_networks_in_which_a_change_spreads_are_refused_and_passed_whole(name: str) -> None:
    layer, why = REFUSED[name]
    network = Head(nn.Sequential(nn.Conv3d(CHANNELS, 4, 3), layer))
    clean, boxes, patches = changes((9, 8, 10), 3, 0)
    with pytest.raises(NotLocalError, match=why):
        LocalForward(network, clean)
    answer = patched_logits(network, clean, boxes, patches.__getitem__)
    assert answer.why
    assert answer.share == 1
    if "random" not in why and name != "training":
        torch.testing.assert_close(answer.logits, whole_logits(network, clean, boxes, patches.__getitem__))


def test_a_network_that_answers_with_something_else_is_refused() -> None:
    clean = torch.rand(1, CHANNELS, 5, 5, 5)
    for function in (lambda x: (x.mean((2, 3, 4)),), lambda x: torch.zeros(1, 2), lambda x: nn.functional.relu(x)):
        with pytest.raises(NotLocalError, match="logits"):
            LocalForward(Function(function), clean)


def test_a_reach_that_is_too_short_would_be_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Window.reach
    monkeypatch.setattr(Window, "reach", lambda self, box, space: [(low, max(low + 1, high - 1)) for low, high in honest(self, box, space)])
    with pytest.raises(AssertionError, match="not close"):
        assert_exact(NETWORKS[0], (24, 20, 26))


def test_the_share_is_small_for_a_small_change_and_nothing_for_none() -> None:
    clean, _, _ = changes((24, 24, 24), 1, 0)
    boxes = torch.tensor([[[3, 5]] * 3, [[0, 24]] * 3, [[10, 12]] * 3])
    patches = [torch.zeros(2, 2, 2, 2), torch.zeros(2, 24, 24, 24), clean[0, :, 10:12, 10:12, 10:12]]
    local = LocalForward(NETWORKS[0], clean)
    small, everything, nothing = (local(boxes[i : i + 1], lambda _, i=i: patches[i]) for i in range(3))  # type: ignore[misc]
    assert 0 < small.share < 0.1
    assert everything.share == 1
    assert nothing.share == 0
    assert torch.equal(nothing.logits, local.clean_logits)
    together = local(boxes, patches.__getitem__, chunk=1)
    assert together.share == pytest.approx((small.share + 1) / 3)
    torch.testing.assert_close(together.logits, torch.cat([small.logits, everything.logits, nothing.logits]))


def test_no_boxes_have_no_logits() -> None:
    clean = torch.rand(1, CHANNELS, 9, 9, 9)
    answer = patched_logits(NETWORKS[0], clean, torch.zeros(0, 3, 2, dtype=torch.int64), [].__getitem__)
    assert answer.logits.shape == (0, 2)


def test_network_and_image_are_left_as_they_are() -> None:
    network = Head(trained(nn.Sequential(nn.ReLU(inplace=True), nn.Conv3d(CHANNELS, 4, 3), nn.BatchNorm3d(4))))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with torch.inference_mode():
        clean, boxes, patches = changes((9, 8, 10), 3, 0)
        clean -= 0.5
        copy = clean.clone()
        patched_logits(network, clean, boxes, patches.__getitem__)
    assert torch.equal(clean, copy)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert not network._forward_hooks


def test_double_precision_is_kept() -> None:
    network = resnet(shortcut="B").double()
    clean, boxes, patches = changes((15, 14, 16), 4, 0)
    doubled = [patch.double() for patch in patches]
    answer = patched_logits(network, clean.double(), boxes, doubled.__getitem__)
    torch.testing.assert_close(answer.logits, whole_logits(network, clean.double(), boxes, doubled.__getitem__), rtol=1e-12, atol=1e-12)
