"""The kinds of step through which a change in a volume is followed: windows, functions position by position, and what needs everything."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import avg_pool3d, max_pool3d

from medrobust.targets.local.change import Box, Place

Triple = tuple[int, int, int]
Pointwise = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Affine:
    """Scale and shift of each channel, (c,): batch normalisation by statistics that stay."""

    scale: Tensor
    shift: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.shift.view(-1, 1, 1, 1), x, self.scale.view(-1, 1, 1, 1))


@dataclass(frozen=True, eq=False)
class Convolution:
    """A convolution of (m, c, D, H, W), asked of oneDNN by name on the CPU: for one small volume PyTorch picks a kernel several times slower."""

    weight: Tensor
    bias: Tensor | None
    stride: Triple
    dilation: Triple
    groups: int

    def __call__(self, x: Tensor, padding: Triple) -> Tensor:
        if x.device.type == "cpu" and x.dtype == torch.float32 and torch._C._has_mkldnn:
            fast: Tensor = torch.mkldnn_convolution(x, self.weight, self.bias, padding, self.stride, self.dilation, self.groups)
            return fast
        return torch.conv3d(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)

    def then(self, affine: Affine) -> Convolution:
        """The convolution and the affine map after it, as one."""
        weight = (self.weight * affine.scale.view(-1, 1, 1, 1, 1)).contiguous()
        bias = affine.shift if self.bias is None else self.bias * affine.scale + affine.shift
        return replace(self, weight=weight, bias=bias)


@dataclass(frozen=True)
class Maximum:
    """Max pooling. ceil: whether a last window may stick out; a crop comes with what sticks out filled in."""

    kernel: Triple
    stride: Triple
    dilation: Triple
    ceil: bool

    def __call__(self, x: Tensor, padding: Triple) -> Tensor:
        return max_pool3d(x, self.kernel, self.stride, padding, self.dilation, self.ceil)


@dataclass(frozen=True)
class Average:
    """Average pooling without padding."""

    kernel: Triple
    stride: Triple

    def __call__(self, x: Tensor, padding: Triple) -> Tensor:
        return avg_pool3d(x, self.kernel, self.stride, padding)


@dataclass(frozen=True, eq=False)
class Window:
    """A step each of whose outputs sees a window of its input.

    run: of (m, c, *space) and a padding. extent: edges of the window, dilation counted. fill: what the padding holds.
    cost: multiply-adds of one output position. after: functions of the output.
    """

    run: Convolution | Maximum | Average
    extent: Triple
    stride: Triple
    padding: Triple
    fill: float
    cost: int
    after: tuple[Pointwise, ...] = ()

    def __call__(self, x: Tensor, padding: Triple) -> Tensor:
        return chained(self.run(x, padding), self.after)

    def then(self, function: Pointwise) -> Window:
        if isinstance(function, Affine) and isinstance(self.run, Convolution) and not self.after:
            return replace(self, run=self.run.then(function))
        return replace(self, after=(*self.after, function))

    def reach(self, box: Box, space: Place) -> Box:
        """The outputs, of `space`, that see any input of `box`; at least one along each axis."""
        outputs = []
        for (low, high), end, extent, stride, padding in zip(box, space, self.extent, self.stride, self.padding, strict=True):
            first = min(max(0, -(-(low + padding - extent + 1) // stride)), end - 1)
            outputs.append((first, max(first + 1, min(end, (high - 1 + padding) // stride + 1))))
        return outputs

    def sight(self, corners: Sequence[Place], size: Place) -> tuple[list[Place], Place]:
        """Corners, which may lie in the padding, and size of the inputs that boxes of outputs see."""
        starts = [tuple(low * stride - padding for low, stride, padding in zip(corner, self.stride, self.padding, strict=True)) for corner in corners]
        return starts, tuple((length - 1) * stride + extent for length, stride, extent in zip(size, self.stride, self.extent, strict=True))


@dataclass(frozen=True, eq=False)
class Elementwise:
    """A step that sees its inputs, which are of one space, position by position. after: functions of the output."""

    function: Callable[..., Tensor]
    after: tuple[Pointwise, ...] = ()

    def __call__(self, inputs: Sequence[Tensor]) -> Tensor:
        return chained(self.function(*inputs), self.after)

    def then(self, function: Pointwise) -> Elementwise:
        return replace(self, after=(*self.after, function))


@dataclass(frozen=True, eq=False)
class Everything:
    """A step that sees the whole of its input, of each volume by itself. after: functions of the output."""

    function: Pointwise
    after: tuple[Pointwise, ...] = ()

    def __call__(self, x: Tensor) -> Tensor:
        return chained(self.function(x), self.after)

    def then(self, function: Pointwise) -> Everything:
        return replace(self, after=(*self.after, function))


Operation = Window | Elementwise | Everything


def chained(x: Tensor, functions: Sequence[Pointwise]) -> Tensor:
    for function in functions:
        x = function(x)
    return x


def convolution(weight: Tensor, bias: Tensor | None, stride: Triple, padding: Triple, dilation: Triple, groups: int) -> Window:
    run = Convolution(weight, bias, stride, dilation, groups)
    depth, height, width = weight.shape[2:]
    return Window(run, extent((depth, height, width), dilation), stride, padding, 0.0, math.prod(weight.shape))


def maximum(kernel: Triple, stride: Triple, padding: Triple, dilation: Triple, ceil: bool) -> Window:
    return Window(Maximum(kernel, stride, dilation, ceil), extent(kernel, dilation), stride, padding, -math.inf, 0)


def average(kernel: Triple, stride: Triple) -> Window:
    return Window(Average(kernel, stride), kernel, stride, (0, 0, 0), 0.0, 0)


def extent(kernel: Triple, dilation: Triple) -> Triple:
    first, second, third = (d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
    return first, second, third
