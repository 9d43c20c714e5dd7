"""What is kept of an attacked slice so that it can be shown: bytes, not the numbers that anything is measured on."""

from __future__ import annotations

import torch
from torch import Tensor

from medrobust.imaging.deformation import warp
from medrobust.imaging.window import STRIDE, WINDOW


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
