"""A target seen through its threat model: counted, chunked, frozen, and checked to be left alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from medrobust.types import Batch, Target

NO_BOX = "no-box"
BLACK_BOX = "black-box"
WHITE_BOX = "white-box"


@runtime_checkable
class ShowsLogits(Protocol):
    """A classifier that says what its probabilities are made of."""

    def logits(self, image: Tensor) -> Tensor: ...


@dataclass
class Passes:
    """How many cases went through the target.

    forward: predictions; gradient: backward passes through a prediction. A pass through a part of the network counts as that part.
    """

    forward: float = 0
    gradient: float = 0


@dataclass(frozen=True, eq=False)
class Guarded:
    """A target that an attack may ask what its threat model allows, and nothing else.

    threat: `white-box` (gradients), `black-box` (outputs never carry a graph) or `no-box` (nothing is answered).
    micro_batch: cases per pass. 1 makes results equal to the last bit for every batch size.
    filled: a pass of fewer cases is filled up with copies of its last, so that every pass is of one size; copies are not counted.
    """

    _target: Target
    threat: str = WHITE_BOX
    micro_batch: int = 1
    filled: bool = False
    passes: Passes = field(default_factory=Passes)

    @property
    def white_box(self) -> bool:
        return self.threat == WHITE_BOX

    @property
    def target(self) -> Target:
        """What is guarded, for white-box probes alone."""
        if not self.white_box:
            msg = f"what stands behind the guard is closed to {self.threat} probes"
            raise AttributeError(msg)
        return self._target

    def around(self, target: Target) -> Guarded:
        """The same guard around another target, which counts for itself."""
        return replace(self, _target=target, passes=Passes())

    @property
    def network(self) -> nn.Module:
        """The network itself, for white-box probes alone; what is run on it is reported to `count`."""
        if not self.white_box:
            msg = f"the network of a target is closed to {self.threat} probes"
            raise AttributeError(msg)
        found: nn.Module = self._target.network  # type: ignore[attr-defined]
        return found

    @property
    def shows_logits(self) -> bool:
        """Whether `logits` will answer this probe."""
        return self.white_box and isinstance(self._target, ShowsLogits)

    def logits(self, image: Tensor, batch: Batch) -> Tensor:
        """A classifier's logits, (n, k), for white-box probes alone: a black-box one sees probabilities."""
        if not self.white_box:
            msg = f"the logits of a target are closed to {self.threat} probes"
            raise AttributeError(msg)
        ask: Callable[[Tensor], Tensor] = self._target.logits  # type: ignore[attr-defined]
        return self._ask(lambda piece, _: ask(piece), image, batch)

    def count(self, forward: float = 0, gradient: float = 0) -> None:
        """Take note of passes that were made on `network` directly, in whole passes of one case."""
        self.passes.forward += forward
        self.passes.gradient += gradient

    @property
    def task(self) -> str:
        return self._target.task

    @property
    def digest(self) -> str:
        return self._target.digest

    def __call__(self, image: Tensor, batch: Batch) -> Tensor:
        """The target's prediction, (n, c, *space)."""
        return self._ask(self._target.__call__, image, batch)

    def loss(self, image: Tensor, batch: Batch) -> Tensor:
        """The target's loss, (n,)."""
        return self._ask(self._target.loss, image, batch)

    def to(self, device: torch.device | str) -> Guarded:
        return replace(self, _target=self._target.to(device))

    def _ask(self, question: Callable[[Tensor, Batch], Tensor], image: Tensor, batch: Batch) -> Tensor:
        """`micro_batch` cases at a time; answers carry no graph unless the probe may have one.

        Not in inference mode: there a target that asks for gradients of its own, as one that optimises at inference does, raises.
        """
        if self.threat == NO_BOX:
            msg = f"a target answers no {self.threat} probe: found a question, expected none"
            raise RuntimeError(msg)
        tracked = image.requires_grad or any(tensor.requires_grad for tensor in batch.context.values())
        with_graph = self.white_box and torch.is_grad_enabled() and tracked
        with torch.set_grad_enabled(with_graph):
            pieces = zip(torch.split(image, self.micro_batch), sections(batch, self.micro_batch), strict=True)
            answers = [self._pass(question, piece, section) for piece, section in pieces]
        self.passes.forward += len(image)
        answer = torch.cat(answers) if with_graph else torch.cat(answers).detach()
        if answer.requires_grad:
            answer.register_hook(self._count_gradient)  # type: ignore[no-untyped-call]
        return answer

    def _pass(self, question: Callable[[Tensor, Batch], Tensor], image: Tensor, batch: Batch) -> Tensor:
        missing = self.micro_batch - len(image)
        if not (self.filled and missing):
            return question(image, batch)
        rows = [*range(len(image)), *[len(image) - 1] * missing]
        return question(image[rows], batch.select(rows))[: len(image)]

    def _count_gradient(self, gradient: Tensor) -> None:
        self.passes.gradient += len(gradient)


def unguarded(target: Target) -> Target:
    """What stands behind a guard, for the harness and for metrics: an attack or explainer that asks for it has left its threat model."""
    return target._target if isinstance(target, Guarded) else target


def singly(target: Target) -> Target:
    """The target for a probe that asks about one case after the other, whatever its batch: no pass is filled up."""
    return replace(target, micro_batch=1, filled=False) if isinstance(target, Guarded) else target


def micro_batch(device: torch.device | str) -> int:
    """The default chunk of a device: 1 on a CPU, where a row of a larger one may depend on the size of the chunk in the last bits."""
    return 1 if torch.device(device).type == "cpu" else 64


def sections(batch: Batch, size: int) -> Iterator[Batch]:
    """The batch in consecutive pieces of at most `size` cases, as views."""
    for start in range(0, len(batch), size):
        part = slice(start, start + size)
        context = {name: tensor[part] for name, tensor in batch.context.items()}
        yield Batch(batch.image[part], batch.truth[part], batch.cases[part], context)


def modules(target: object) -> list[nn.Module]:
    """The networks a target holds, its own and those of the targets it wraps."""
    if isinstance(target, nn.Module):
        return [target]
    found: list[nn.Module] = []
    for value in vars(target).values():
        if isinstance(value, nn.Module | Target) and not isinstance(value, type):
            found += modules(value)
    return found


@dataclass(frozen=True)
class Fingerprint:
    """What an attack must leave as it was: weights and buffers, training or evaluation mode, hooks."""

    weights: str
    modes: tuple[bool, ...]
    hooks: tuple[int, ...]

    @classmethod
    def of(cls, target: object) -> Fingerprint:
        networks = modules(target)
        parts = [part for network in networks for part in network.modules()]
        sha = hashlib.sha256()
        for network in networks:
            for name, tensor in network.state_dict().items():
                sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
                sha.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
        return cls(sha.hexdigest(), tuple(part.training for part in parts), tuple(hooks(part) for part in parts))

    def changes(self, later: Fingerprint) -> str:
        """What differs, in words; empty where nothing does."""
        same = {"weights": self.weights == later.weights, "mode": self.modes == later.modes, "hooks": self.hooks == later.hooks}
        return ", ".join(name for name, equal in same.items() if not equal)


def hooks(part: nn.Module) -> int:
    """How many hooks hang on a module."""
    return sum(map(len, (part._forward_hooks, part._forward_pre_hooks, part._backward_hooks, part._backward_pre_hooks)))


@contextmanager
def frozen(target: object) -> Iterator[None]:
    """No parameter asks for a gradient inside the block: a third of an input gradient's time, saved. Restored after."""
    parameters = [parameter for network in modules(target) for parameter in network.parameters()]
    before = [parameter.requires_grad for parameter in parameters]
    try:
        for parameter in parameters:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter, flag in zip(parameters, before, strict=True):
            parameter.requires_grad_(flag)
