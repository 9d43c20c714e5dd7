"""Logits of many volumes that each differ from one clean volume within a small box, exactly, and each at a fraction of a whole pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from medrobust.targets.local.calls import NotLocalError
from medrobust.targets.local.change import Change, Place, alike, crop, inside, union, whole
from medrobust.targets.local.steps import Elementwise, Window
from medrobust.targets.local.trace import Step, trace

Patch = Callable[[int], Tensor]

MOST = 0.6
"""Above this share of an activation all of it is computed: the rest is not worth the copying."""


class Answer(NamedTuple):
    """logits: (m, k). share: mean fraction of a whole pass's multiply-adds that was spent. why: why whole passes were made; empty where not."""

    logits: Tensor
    share: float
    why: str = ""


def patched_logits(module: nn.Module, clean: Tensor, boxes: Tensor, patch: Patch, chunk: int = 8) -> Answer:
    """Logits of `module`, in evaluation, for m volumes that are `clean` (1, c, D, H, W) but hold patch(i) in box i.

    boxes: (m, 3, 2) int64, first voxel and last + 1 along each axis. patch: i -> (c, *size of box i), asked for once each, in any order.
    chunk: volumes that exist at once. Where a change cannot be followed through the network, each volume makes a whole pass.
    """
    try:
        local = LocalForward(module, clean)
    except NotLocalError as error:
        return Answer(whole_logits(module, clean, boxes, patch), 1.0, str(error))
    return local(boxes, patch, chunk)


def whole_logits(module: nn.Module, clean: Tensor, boxes: Tensor, patch: Patch) -> Tensor:
    """The same logits, (m, k), by one whole pass a volume."""
    logits = []
    with torch.inference_mode():
        for row, box in enumerate(boxes.tolist()):
            volume = clean.clone()
            volume[0][inside(box)] = patch(row)
            logits.append(module(volume))
    return torch.cat(logits)


class LocalForward:
    """One clean pass, after which the logits of a changed volume cost only what the change reaches.

    Early layers are recomputed where their receptive field meets the change, late ones, which it fills, whole. Batch normalisation is joined to the
    convolution before it, so logits equal the network's to rounding, about 1e-6 of them. The image is (1, c, D, H, W); the network's weights stay
    as they are while this is used. Raises NotLocalError, in one line, for a network through which a change cannot be followed.
    """

    def __init__(self, module: nn.Module, clean: Tensor) -> None:
        self._image = clean.detach()
        self._trace = trace(module, self._image)
        self._last = {index: step.output for step in self._trace.steps for index in step.inputs}
        windows = ((step.operation, self._space(step.output)) for step in self._trace.steps if isinstance(step.operation, Window))
        self._cost = sum(window.cost * math.prod(space) for window, space in windows)

    @property
    def clean_logits(self) -> Tensor:
        """The network's own answer to the clean image, (1, k)."""
        return self._trace.logits

    def __call__(self, boxes: Tensor, patch: Patch, chunk: int = 8) -> Answer:
        """As `patched_logits`; a patch that changes nothing costs nothing."""
        logits, spent = self.clean_logits.repeat(len(boxes), 1), 0
        with torch.inference_mode():
            for rows, start in self._groups(boxes, patch, chunk):
                changes = {0: start}
                for step in self._trace.steps:
                    changes[step.output], cost = self._advance(step, changes)
                    spent += cost
                    for index in changes.keys() & {*step.inputs}:
                        if self._last[index] == step.output:
                            del changes[index]
                logits[rows] = changes[self._trace.output].values
        return Answer(logits, spent / max(self._cost * len(boxes), 1))

    def _groups(self, boxes: Tensor, patch: Patch, chunk: int) -> Iterator[tuple[list[int], Change]]:
        """Up to `chunk` rows at a time, of like volume, and their change to the image; rows whose patch changes nothing are left out."""
        group: list[tuple[int, list[tuple[int, int]], Tensor]] = []
        order = (boxes[..., 1] - boxes[..., 0]).prod(1).argsort(stable=True).tolist()
        for row in order:
            box, values = [(low, high) for low, high in boxes[row].tolist()], patch(row)
            if not torch.equal(values, self._image[0][inside(box)]):
                group.append((row, box, values))
            if group and (len(group) == chunk or row == order[-1]):
                yield [row for row, _, _ in group], self._patched([box for _, box, _ in group], [values for _, _, values in group])
                group = []

    def _patched(self, boxes: list[list[tuple[int, int]]], patches: list[Tensor]) -> Change:
        """The patches, each with as much of the image around it as makes all of one size."""
        corners, size = alike(boxes, self._space(0))
        values = crop(self._image[0], None, corners, size)
        for box, corner, target, patch in zip(boxes, corners, values, patches, strict=True):
            target[inside((low - start, high - start) for (low, high), start in zip(box, corner, strict=True))] = patch
        return Change(corners, values)

    def _space(self, index: int) -> Place:
        return tuple(self._trace.shapes[index][2:])

    def _crop(self, index: int, change: Change | None, corners: list[Place], size: Place, fill: float = 0.0) -> Tensor:
        return crop(self._trace.clean[index][0], change, corners, size, fill)

    def _advance(self, step: Step, changes: Mapping[int, Change]) -> tuple[Change, int]:
        """What a step makes of the changes so far, and the multiply-adds it takes."""
        operation, space = step.operation, self._space(step.output)
        present = [changes[index] for index in step.inputs if index in changes]
        if isinstance(operation, Window):
            return self._slide(operation, step.inputs[0], present[0], space)
        if isinstance(operation, Elementwise) and len(step.inputs) == 1:
            return present[0]._replace(values=operation([present[0].values])), 0
        if isinstance(operation, Elementwise):
            corners, size = union(present, space)
            return Change(corners, operation([self._crop(index, changes.get(index), corners, size) for index in step.inputs])), 0
        everything = self._crop(step.inputs[0], present[0], *whole(self._space(step.inputs[0]), len(present[0].values)))
        return Change(whole(space, len(everything))[0], operation(everything)), 0

    def _slide(self, window: Window, index: int, change: Change, space: Place) -> tuple[Change, int]:
        """A window's outputs wherever it meets the change, or all of them where that is most."""
        corners, size = alike([window.reach(box, space) for box in change.boxes], space)
        if math.prod(size) > MOST * math.prod(space):
            corners, size = whole(space, len(corners))
            values = window(self._crop(index, change, *whole(self._space(index), len(corners))), window.padding)
        else:
            values = window(self._crop(index, change, *window.sight(corners, size), window.fill), (0, 0, 0))
        return Change(corners, values), window.cost * math.prod(size) * len(corners)
