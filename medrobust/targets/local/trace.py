"""What a network computes, recorded from one pass: the steps from image to logits, and the activations that a change is seen beside."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from medrobust.targets.local.calls import NotLocalError, first, step_of, tensors
from medrobust.targets.local.steps import Elementwise, Operation

aten = torch.ops.aten
LOST = -1
"""Number of what depends on the image in a way that is not followed."""


@dataclass(frozen=True)
class Step:
    """operation: what is done. inputs: numbers of the activations it is done to. output: number of what comes out."""

    operation: Operation
    inputs: tuple[int, ...]
    output: int


@dataclass(frozen=True)
class Trace:
    """One pass over a clean image, activation 0.

    steps: in order. clean: what steps may see beside a change, (1, c, *space) by number. shapes: of every activation, by number.
    logits: (1, k), activation `output`.
    """

    steps: tuple[Step, ...]
    clean: Mapping[int, Tensor]
    shapes: Mapping[int, torch.Size]
    logits: Tensor
    output: int


def trace(module: nn.Module, image: Tensor) -> Trace:
    """Record the pass of `image` (1, c, D, H, W) through `module`. Raises NotLocalError for a network that cannot be recomputed in part."""
    with torch.inference_mode(mode=False), torch.no_grad():
        image = image.clone()
        with Recorder(image) as recorder:
            logits = module(image)
    output = recorder.number(logits) if isinstance(logits, Tensor) else None
    if output is None or output == LOST or logits.ndim != 2:
        msg = "its output is not one tensor of logits that depends on the image"
        raise NotLocalError(msg)
    steps = merged(recorder.steps, output)
    read = {index for step in steps for index in step.inputs}
    return Trace(steps, {index: tensor for index, tensor in recorder.clean.items() if index in read}, recorder.shapes, logits, output)


def merged(steps: Sequence[Step], output: int) -> tuple[Step, ...]:
    """The steps, each function of one activation joined to the step that makes it, where nothing else reads that activation."""
    readers = Counter([output, *(index for step in steps for index in step.inputs)])
    done: dict[int, Step] = {}  # by output
    for step in steps:
        operation = step.operation
        maker = done.get(step.inputs[0])
        if isinstance(operation, Elementwise) and len(step.inputs) == 1 and maker is not None and readers[maker.output] == 1:
            del done[maker.output]
            joined = maker.operation.then(operation.function)
            done[step.output] = replace(maker, operation=joined, output=step.output)
        else:
            done[step.output] = step
    return tuple(done.values())


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows an image through the operations of a pass; raises NotLocalError at the first that a change cannot be followed through.

    Activations are known by identity and not held, so that memory is that of a usual pass and of `clean`.
    """

    def __init__(self, image: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.steps: list[Step] = []
        self.clean: dict[int, Tensor] = {}
        self.shapes: dict[int, torch.Size] = {}
        self._known: dict[int, tuple[weakref.ref[Tensor], int]] = {}
        self._new(image)

    def number(self, tensor: Tensor) -> int | None:
        """The number of an activation; None for a tensor that does not depend on the image."""
        reference, index = self._known.get(id(tensor), (None, LOST))
        return index if reference is not None and reference() is tensor else None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded in func.tags:
            msg = f"{func} draws random numbers"
            raise NotLocalError(msg)
        if not any(self._depends(tensor) for tensor in tensors([args, kwargs])):
            return func(*args, **kwargs)
        if func in (aten.detach.default, aten.alias.default):
            out = func(*args)
            self._known[id(out)] = weakref.ref(out), self._number(args[0])
            return out
        operation, inputs = step_of(func, args, kwargs, self._depends)
        numbers = tuple(map(self._number, inputs))
        if not isinstance(operation, Elementwise) or len(inputs) > 1:
            self.clean.update(zip(numbers, inputs, strict=True))
        if func._schema.is_mutable:
            self._keep(args[0])
        out = func(*args, **kwargs)
        self.steps.append(Step(operation, numbers, self._new(first(out))))
        for other in tensors(out)[1:]:
            self._known[id(other)] = weakref.ref(other), LOST
        return out

    def _depends(self, tensor: Tensor) -> bool:
        return self.number(tensor) is not None

    def _number(self, tensor: Tensor) -> int:
        """The number of an input; one that does not depend on the image is given a number and held."""
        index = self.number(tensor)
        if index == LOST:
            msg = "an activation is read that was changed in place under another name, or the indices of a maximum"
            raise NotLocalError(msg)
        if index is None:
            index = len(self.shapes)
            self.shapes[index] = tensor.shape
            self.clean[index] = tensor
        return index

    def _new(self, tensor: Tensor) -> int:
        index = len(self.shapes)
        self.shapes[index] = tensor.shape
        self._known[id(tensor)] = weakref.ref(tensor), index
        return index

    def _keep(self, changing: Tensor) -> None:
        """Copy what is about to be changed in place, where a step may see it; whatever shares its memory is lost."""
        index = self.number(changing)
        if index is None:
            msg = "the image is written into a tensor that does not depend on it"
            raise NotLocalError(msg)
        if index in self.clean:
            self.clean[index] = changing.clone()
        memory = changing.untyped_storage().data_ptr()
        for key, (reference, _) in list(self._known.items()):
            other = reference()
            if other is not None and other is not changing and other.untyped_storage().data_ptr() == memory:
                self._known[key] = reference, LOST
