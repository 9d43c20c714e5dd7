"""The invertible recurrent inference machine: an unrolled reconstruction whose every step can be undone."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, glu, pad, pixel_shuffle, relu
from torch.nn.utils.parametrizations import weight_norm

from medrobust.imaging.kspace import center_crop, undersample
from medrobust.targets.networks.householder import Householder
from medrobust.targets.networks.invertible import Update, memory_free, plain

METADATA = 8
"""Channels of scanner metadata: fat suppression (no, yes) x system (Aera, Biograph, Prisma, Skyra), one-hot."""


def full_precision(tensor: Tensor) -> torch.autocast:
    """Keeps mixed precision away from the orthogonal mixing, which must cancel to the last bits for an update to be undone."""
    return torch.autocast(tensor.device.type, enabled=False)


class ResidualBlock(nn.Module):
    """Patches of d x d to `hidden` channels, a 3x3 convolution, and back to d x d pixels; (n, inputs, H, W) to (n, outputs, H, W).

    gated: halve the last layer's channels through a gated linear unit.
    """

    def __init__(self, inputs: int, outputs: int, hidden: int, patch: int, gated: bool) -> None:
        super().__init__()
        self.patch, self.gated = patch, gated
        self.reduce = weight_norm(nn.Conv2d(inputs, hidden, patch, stride=patch))
        self.mix = weight_norm(nn.Conv2d(hidden, hidden, 3, padding=1))
        # A transposed convolution whose stride is its kernel is a 1x1 convolution and a pixel shuffle, which the CPU runs twice as fast.
        self.expand = weight_norm(nn.Conv2d(hidden, outputs * (2 if gated else 1) * patch**2, 1, bias=False), dim=1)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        below, right = -height % self.patch, -width % self.patch
        x = pad(x, (0, right, 0, below), mode="reflect") if below or right else x
        x = self.expand(relu(self.mix(relu(self.reduce(x)))))
        # Values and gates are the two halves of the channels on patches as on pixels, so half of them need not be shuffled.
        return pixel_shuffle(glu(x, dim=1) if self.gated else x, self.patch)[..., :height, :width]


class Coupling(Update):
    """RevNet coupling between orthogonal mixings, x <- W^T C(W x) with C: right += block(left).

    As W is orthogonal this is x + W_right^T block(W_left x) for the upper and lower rows of W, and
    W_left W_right^T = 0 leaves W_left x, all that is read, alone.
    """

    def __init__(self, channels: int, hidden: int, patch: int, projections: int) -> None:
        super().__init__()
        self.mixing = Householder(channels, projections)
        self.block = ResidualBlock(channels // 2, channels // 2, hidden, patch, gated=True)

    def read(self, state: Tensor) -> Tensor:
        with full_precision(state):
            return conv2d(state, self.mixing().chunk(2)[0][..., None, None])

    def forward(self, read: Tensor, zero_filled: Tensor, mask: Tensor) -> Tensor:  # noqa: ARG002 - one signature for all updates
        shift = self.block(read).to(read.dtype)
        with full_precision(read):
            return conv2d(shift, self.mixing().chunk(2)[1].T[..., None, None])


class Consistency(Update):
    """Adds the data term's gradient F* M F eta - x_zf of the estimates eta to the channels that follow theirs.

    copies: number of estimates; the first `copies` channels are their real, the next their imaginary parts.
    """

    def __init__(self, copies: int) -> None:
        super().__init__()
        self.copies = copies
        self.channels = slice(2 * copies, 4 * copies)

    def read(self, state: Tensor) -> Tensor:
        return state[:, : 2 * self.copies]

    def forward(self, read: Tensor, zero_filled: Tensor, mask: Tensor) -> Tensor:
        gradient = undersample(torch.complex(*read.chunk(2, dim=1)), mask) - zero_filled
        return torch.cat([gradient.real, gradient.imag], dim=1)


class IRIMNetwork(nn.Module):
    """Zero-filled complex (n, 1, H, W) and mask to magnitude (n, 1, H, W), in the input's units."""

    def __init__(
        self,
        channels: int,
        hidden: tuple[int, ...],
        patch: tuple[int, ...],
        steps: int,
        copies: int,
        projections: int,
        residual: bool,
        memory_free: bool,
    ) -> None:
        super().__init__()
        self.channels, self.copies, self.residual, self.memory_free = channels, copies, residual, memory_free
        updates: list[Update] = [Consistency(copies)]
        for _ in range(steps):
            updates += [Coupling(channels, width, size, projections) for width, size in zip(hidden, patch, strict=True)]
            updates.append(Consistency(copies))
        self.updates = nn.ModuleList(updates)
        self.output = ResidualBlock(channels, 2, hidden[0], patch[0], gated=False)

    def forward(self, zero_filled: Tensor, mask: Tensor, metadata: Tensor | None = None) -> Tensor:
        """metadata: one-hot scanner description, (n, 8); zeros where it is not known."""
        crop = center_crop(zero_filled, *(min(320, size) for size in zero_filled.shape[-2:]))
        scale = torch.view_as_real(crop).flatten(1).std(1).view(-1, 1, 1, 1) + 1e-6
        zero_filled = zero_filled / scale
        run = memory_free if self.memory_free else plain
        state = run(list(self.updates), self.start(zero_filled, metadata), zero_filled, mask)  # type: ignore[arg-type]
        image = self.output(state).to(state.dtype)
        if self.residual:
            image = image + state[:, : 2 * self.copies].reshape(len(state), 2, self.copies, *state.shape[-2:]).mean(2)
        return torch.complex(image[:, :1], image[:, 1:]).abs() * scale

    def start(self, zero_filled: Tensor, metadata: Tensor | None = None) -> Tensor:
        """The first state, (n, channels, H, W): copies of the zero-filled image, zeros, metadata."""
        n, _, height, width = zero_filled.shape
        blank = zero_filled.real.new_zeros(n, self.channels - 2 * self.copies - METADATA, height, width)
        known = blank.new_zeros(n, METADATA) if metadata is None else metadata
        planes = known[..., None, None].expand(n, METADATA, height, width)
        copies = (n, self.copies, height, width)
        return torch.cat([zero_filled.real.expand(copies), zero_filled.imag.expand(copies), blank, planes], dim=1)
