"""What is kept of an attacked image so that it can be shown: bytes, not the numbers that anything is measured on."""

from __future__ import annotations

import torch
from torch import Tensor

from medrobust.imaging.deformation import warp
from medrobust.imaging.window import STRIDE, WINDOW

SIDE = 160
"""Pixels of a side that are kept at most: around the change where that is small, else every second or third pixel of all."""


def windowed(image: Tensor) -> Tensor:
    """HU to 0 to 255, uint8; NaN is black."""
    low, high = WINDOW
    return ((image - low) / (high - low) * 255).nan_to_num(0).round().clamp(0, 255).to(torch.uint8)


def shown(
    image: Tensor, attacked: Tensor, truth: Tensor, moved: Tensor, field: Tensor | None, before: Tensor, after: Tensor
) -> list[dict[str, Tensor]]:
    """One mapping a slice, of arrays by name.

    `image`, `attacked` (windowed), `truth`, `moved`, `before` and `after` (labels): (H, W) uint8. `shading`: (H, W) int16, HU added to the image
    after it was moved. `field`, where it was moved: (2, H / 4, W / 4) float16, in pixels.

    image, attacked: (n, 1, H, W) in HU. truth, moved: their labels (n, 1, H, W), fewer than 256. field: (n, 2, H, W) in pixels, None where nothing
    moved. before, after: log-probabilities (n, k + 1, H, W) of the answers to them.
    """
    base = image if field is None else warp(image, field)
    planes = {
        "image": windowed(image),
        "attacked": windowed(attacked),
        "truth": truth.to(torch.uint8),
        "moved": moved.to(torch.uint8),
        "before": before.argmax(1, keepdim=True).to(torch.uint8),
        "after": after.argmax(1, keepdim=True).to(torch.uint8),
        "shading": (attacked - base).round().clamp(-32768, 32767).to(torch.int16),
    }
    found = [{name: plane[index, 0].cpu().contiguous() for name, plane in planes.items()} for index in range(len(image))]
    if field is not None:
        for index, one in enumerate(found):
            one["field"] = field[index, :, ::STRIDE, ::STRIDE].half().cpu().contiguous()
    return found


def outlined(image: Tensor, attacked: Tensor, lesion: Tensor) -> list[dict[str, Tensor]]:
    """One mapping an image, of arrays by name, (H, W) uint8: `image` and `attacked`, -1 to 1 as 0 to 255, and `truth`, 1 inside a lesion's outline.

    image, attacked: (n, 1, H, W), intensities of at least -1 and at most 1. lesion: (n, 1, H, W), above 0 inside.
    """
    grey = [((one + 1) / 2 * 255).round().clamp(0, 255).to(torch.uint8) for one in (image, attacked)]
    planes = {"image": grey[0], "attacked": grey[1], "truth": (lesion > 0).to(torch.uint8)}
    return [{name: plane[index, 0].cpu().contiguous() for name, plane in planes.items()} for index in range(len(image))]


def changed(image: Tensor, attacked: Tensor) -> list[dict[str, Tensor]]:
    """One mapping an image of any kind, of arrays by name, at most `SIDE` pixels a side.

    `image` and `attacked`: (H, W) uint8, from the lowest to the highest intensity of the clean image. `difference`: (H, W) int8, 127 for the largest
    change of the image, which is `scale` () float32, in the data's units. `view`: (4,) int64, channel, slice (0 of an image), first row and first
    column kept; `stride`: (), of rows and columns kept.

    image, attacked: (n, c, H, W) or (n, c, H, W, D). Shown is the channel that changed most, and of a volume the slice across its last axis that did,
    the middle one where nothing changed, upright.
    """
    return [_changed(clean.detach().cpu().double(), other.detach().cpu().double()) for clean, other in zip(image, attacked, strict=True)]


def _changed(clean: Tensor, attacked: Tensor) -> dict[str, Tensor]:
    moved = (attacked - clean).nan_to_num(0)
    channel = int(moved.abs().flatten(1).sum(1).argmax())
    at = 0
    if clean.ndim == 4:
        amount = moved[channel].abs().sum((0, 1))
        at = int(amount.argmax()) if bool(amount.any()) else clean.shape[-1] // 2
    top, left, stride = _kept(plane(moved, channel, at))
    view = torch.tensor([channel, at, top, left])
    low, high = clean[channel].min(), clean[channel].max()
    scale = moved.abs().max()
    found = {name: seen(grey(one[None], low, high)[0], view, stride) for name, one in (("image", clean), ("attacked", attacked))}
    found["difference"] = seen((moved / scale.clamp_min(1e-30) * 127).round().to(torch.int8), view, stride)
    return found | {"scale": scale.float(), "view": view, "stride": torch.tensor(stride)}


def grey(image: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Intensities from `low` to `high` as 0 to 255, uint8; what lies outside as the nearer end, NaN black."""
    return ((image - low) / (high - low).clamp_min(1e-12) * 255).nan_to_num(0).round().clamp(0, 255).to(torch.uint8)


def seen(image: Tensor, view: Tensor, stride: int) -> Tensor:
    """The part of an image (c, H, W) or (c, H, W, D) that `changed` keeps, contiguous."""
    channel, at, top, left = view.tolist()
    whole = plane(image, channel, at)
    return whole[top : top + SIDE * stride : stride, left : left + SIDE * stride : stride].contiguous()


def plane(image: Tensor, channel: int, at: int) -> Tensor:
    """One channel, and of a volume one slice across its last axis, upright."""
    return image[channel] if image.ndim == 3 else upright(image[channel, ..., at])


def upright(tensor: Tensor) -> Tensor:
    """First two of a volume's axes, left-right and posterior-anterior, as rows from the front and columns from the left, contiguous."""
    return tensor.transpose(-1, -2).flip(-2).contiguous()


def _kept(moved: Tensor) -> tuple[int, int, int]:
    """First row, first column and stride: all of a small plane, a window around a small change, else every so many pixels."""
    sides = moved.shape
    if max(sides) <= SIDE:
        return 0, 0, 1
    rows, columns = (torch.nonzero(moved.abs().amax(axis)).flatten() for axis in (1, 0))
    if len(rows) and all(int(one[-1] - one[0]) < SIDE for one in (rows, columns)):
        middles = [int(one[-1] + one[0]) // 2 for one in (rows, columns)]
        top, left = (min(max(0, middle - SIDE // 2), max(0, side - SIDE)) for middle, side in zip(middles, sides, strict=True))
        return top, left, 1
    return 0, 0, -(-max(sides) // SIDE)
