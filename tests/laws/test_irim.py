"""The I-RIM undoes its own steps, and its memory-free gradients are the gradients."""

from __future__ import annotations

import copy
from itertools import chain

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.autograd.gradcheck import GradcheckError

from medrobust.targets.irim import IRIM
from medrobust.targets.networks.invertible import Update, invert, memory_free, plain
from medrobust.targets.networks.irim import Consistency, IRIMNetwork

SMALL = IRIM(hidden=(8, 16, 8), patch=(1, 4, 2), steps=3)
TINY = IRIM(channels=12, hidden=(4,), patch=(2,), steps=2, copies=1)


def network(config: IRIM, dtype: torch.dtype = torch.float32, seed: int = 0) -> IRIMNetwork:
    torch.manual_seed(seed)
    built = config.build().to(dtype)
    assert isinstance(built, IRIMNetwork)
    return built


def acquisition(n: int, height: int, width: int, dtype: torch.dtype = torch.complex64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    mask = torch.rand(n, 1, 1, width, generator=generator) < 0.5
    return torch.randn(n, 1, height, width, dtype=dtype, generator=generator), mask


def test_state_is_recovered_from_the_last_state() -> None:
    net = network(SMALL)
    zero_filled, mask = acquisition(2, 32, 40)
    updates: list[Update] = list(net.updates)  # type: ignore[arg-type]
    state = torch.randn(2, 16, 32, 40)
    with torch.no_grad():
        last = plain(updates, state, zero_filled, mask)
    error = (invert(updates, last, zero_filled, mask) - state).abs().max()
    assert (last - state).abs().max() > 0.5
    assert error < 1e-4


def test_the_released_order_of_inversion_does_not_recover_the_state() -> None:
    net = network(SMALL)
    zero_filled, mask = acquisition(2, 32, 40)
    updates: list[Update] = list(net.updates)  # type: ignore[arg-type]
    state = torch.randn(2, 16, 32, 40)
    with torch.no_grad():
        last = plain(updates, state, zero_filled, mask)
    size = len(SMALL.hidden) + 1
    cells = [updates[1 + step * size : 1 + (step + 1) * size] for step in range(SMALL.steps)]
    released = [cells[-step] for step in range(len(cells))]  # 0, -1, -2, ...: the first cell is undone first
    wrong = [updates[0], *chain.from_iterable(reversed(released))]
    right = [updates[0], *chain.from_iterable(cells)]
    assert (invert(right, last, zero_filled, mask) - state).abs().max() < 1e-4
    assert (invert(wrong, last, zero_filled, mask) - state).abs().max() > 1e-2


def test_each_mixing_is_orthogonal() -> None:
    for name, module in network(SMALL).named_modules():
        if name.endswith("mixing"):
            torch.testing.assert_close(module() @ module().T, torch.eye(16), atol=1e-5, rtol=0)


def test_memory_free_gradients_hold_in_mixed_precision() -> None:
    net = network(SMALL)
    zero_filled, mask = acquisition(2, 32, 40)
    gradients = []
    for free in (True, False):
        net.memory_free = free
        net.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = net(zero_filled, mask).mean()
        loss.backward()
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in net.parameters() if parameter.grad is not None]))
    assert (gradients[0] - gradients[1]).norm() <= 1e-2 * gradients[1].norm()


@pytest.mark.parametrize("size", [(32, 40), (30, 37)])
def test_memory_free_values_and_gradients_equal_plain_ones(size: tuple[int, int]) -> None:
    net = network(SMALL)
    zero_filled, mask = acquisition(2, *size)
    weight = torch.rand(2, 1, *size)
    results = []
    for free in (True, False):
        net.memory_free = free
        net.zero_grad()
        leaf = zero_filled.clone().requires_grad_()
        output = net(leaf, mask)
        (output * weight).sum().backward()
        assert leaf.grad is not None
        results.append([output, leaf.grad, *(parameter.grad for parameter in net.parameters())])
    for free_value, plain_value in zip(*results, strict=True):
        assert plain_value.abs().max() > 0
        assert (free_value - plain_value).norm() <= 1e-4 * plain_value.norm()


def test_gradients_of_a_frozen_network_reach_the_image() -> None:
    net = network(SMALL).requires_grad_(False)
    zero_filled, mask = acquisition(1, 32, 40)
    leaf = zero_filled.clone().requires_grad_()
    found = torch.autograd.grad(net(leaf, mask).square().sum(), leaf)[0]
    net.memory_free = False
    expected = torch.autograd.grad(net(leaf, mask).square().sum(), leaf)[0]
    assert (found - expected).norm() <= 1e-4 * expected.norm()


def test_gradients_equal_finite_differences() -> None:
    net = network(TINY, torch.float64)
    zero_filled, mask = acquisition(1, 4, 6, torch.complex128)
    assert torch.autograd.gradcheck(lambda image: net(image, mask), (zero_filled.requires_grad_(),))
    updates: list[Update] = list(net.updates)  # type: ignore[arg-type]
    state = torch.randn(1, 12, 4, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s, z: memory_free(updates, s, z, mask), (state, zero_filled))


def test_an_update_that_changes_what_it_reads_would_be_caught() -> None:
    class Seeing(Update):
        def read(self, state: Tensor) -> Tensor:
            return state

        def forward(self, read: Tensor, zero_filled: Tensor, mask: Tensor) -> Tensor:
            return read.square()

    zero_filled, mask = acquisition(1, 4, 6, torch.complex128)
    state = torch.rand(1, 2, 4, 6, dtype=torch.float64, requires_grad=True)
    with pytest.raises(GradcheckError):
        torch.autograd.gradcheck(lambda s: memory_free([Seeing()], s, zero_filled, mask), (state,))


def test_graph_keeps_no_activations() -> None:
    net = network(SMALL)
    zero_filled, mask = acquisition(1, 32, 32)

    def kept(free: bool) -> int:
        net.memory_free = free
        sizes: dict[int, int] = {}

        def pack(tensor: Tensor) -> Tensor:
            sizes[tensor.data_ptr()] = tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            net(zero_filled, mask)
        return sum(sizes.values())

    weights = sum(parameter.numel() for parameter in net.parameters())
    assert kept(True) - weights < 60 * 32 * 32
    assert kept(False) > 5 * kept(True)


def test_data_consistency_adds_nothing_to_a_measured_image() -> None:
    net = network(TINY)
    zero_filled, mask = acquisition(1, 8, 12)
    zero_filled = torch.zeros_like(zero_filled)
    start = net.start(zero_filled)
    consistency = net.updates[0]
    assert isinstance(consistency, Consistency)
    assert consistency(consistency.read(start), zero_filled, mask).abs().max() == 0
    assert consistency(consistency.read(start + 1), zero_filled, mask).abs().max() > 0


def test_output_scales_with_the_input() -> None:
    net = network(SMALL).requires_grad_(False)
    zero_filled, mask = acquisition(1, 32, 32)
    torch.testing.assert_close(net(zero_filled * 1000, mask), net(zero_filled, mask) * 1000, rtol=1e-3, atol=1e-1)


def test_cases_of_a_batch_do_not_see_each_other() -> None:
    net = network(SMALL).requires_grad_(False)
    zero_filled, mask = acquisition(3, 32, 32)
    one_by_one = torch.cat([net(zero_filled[i : i + 1], mask[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(net(zero_filled, mask), one_by_one, rtol=1e-4, atol=1e-5)


def test_scanner_metadata_fill_the_last_channels() -> None:
    net = network(SMALL)
    zero_filled, _ = acquisition(1, 8, 8)
    known = torch.nn.functional.one_hot(torch.tensor([3]), 8).float()
    assert net.start(zero_filled)[:, -8:].abs().max() == 0
    torch.testing.assert_close(net.start(zero_filled, known)[:, -8:, 4, 4], known)


def test_weights_survive_safetensors_and_a_deep_copy(tmp_path) -> None:  # type: ignore[no-untyped-def]
    net = network(SMALL).requires_grad_(False)
    zero_filled, mask = acquisition(1, 16, 16)
    save_file(net.state_dict(), tmp_path / "weights.safetensors")
    other = network(SMALL, seed=5).requires_grad_(False)
    assert not torch.equal(other(zero_filled, mask), net(zero_filled, mask))
    other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    for twin in (other, copy.deepcopy(net)):
        torch.testing.assert_close(twin(zero_filled, mask), net(zero_filled, mask))


def test_published_network_has_275247552_parameters() -> None:
    with torch.device("meta"):
        net = IRIM.full().build()
    assert sum(parameter.numel() for parameter in net.parameters()) == 275_247_552


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 15}, "channels: found 15, expected an even number of at least 4 [*] copies [+] 8 = 16"),
        ({"copies": 3}, "channels: found 16"),
        ({"patch": (2, 2)}, "patch: found 2 sizes, expected one for each of the 3 widths"),
        ({"steps": 0}, "steps: found 0, expected at least 1"),
    ],
)
def test_options_that_cannot_be_built_are_one_line(options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        IRIM(**options)  # type: ignore[arg-type]
