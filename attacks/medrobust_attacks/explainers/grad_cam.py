"""Grad-CAM on volumes: which parts of a layer's output push the predicted class."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from medrobust.guard import frozen, micro_batch
from medrobust.randomness import CaseRandom
from medrobust.targets.precision import parts
from medrobust.types import Batch, Explained, Target
from medrobust_attacks.explainers.asking import network_of, opened
from medrobust_attacks.explainers.enlarging import enlarged


@dataclass(frozen=True)
class GradCAM:
    """Weigh the channels of a layer's output by the mean gradient of the predicted class's logit, add them up, and keep what is above 0.

    Source: Selvaraju et al. 2017, arXiv:1610.02391; interpolated to the volume as in Rajapaksa & Khalvati 2022, doi:10.3389/fradi.2022.1061402.
    A network with one logit that answers class 0 is explained by the negated logit. The pass back goes through the part of the network
    behind the layer alone, so that a case costs one forward pass and little more.

    layer: name of a module whose output is a map (n, channels, *space), run once in a pass, such as layer4 or layer3.0.conv2.
    """

    threat: ClassVar[str] = "white-box"
    queries: ClassVar[int] = 1
    gradients: ClassVar[int] = 1
    layer: str = "layer4"

    def __call__(self, target: Target, batch: Batch, rng: CaseRandom) -> Explained:  # noqa: ARG002 - nothing here is drawn
        """Explain every case of the batch, as many in a pass as the device has room for."""
        guarded = opened(target)
        network, maps = network_of(guarded), []
        for images in torch.split(batch.image, micro_batch(batch.image.device)):
            found, share = relevance(network, self.layer, images)
            guarded.count(forward=len(images), gradient=share * len(images))
            maps.append(found)
        return Explained(torch.cat(maps))


def relevance(network: nn.Module, layer: str, images: Tensor) -> tuple[Tensor, float]:
    """The maps (n, *space) of `images` (n, c, *space), and the share of the network's multiplications that lies behind the layer, in [0, 1]."""
    with torch.enable_grad(), frozen(network), split_at(network, layer) as passed:
        logits: Tensor = network(images)
        features = passed.features(layer)
        (slope,) = torch.autograd.grad(score(logits).sum(), features)
    weights = slope.float().flatten(2).mean(2)
    maps = torch.einsum("nc,nc...->n...", weights, features.detach().float()).relu()
    return enlarged(maps, images.shape[2:]), passed.share


def score(logits: Tensor) -> Tensor:
    """The logit of the predicted class, (n,), from logits (n, k); of a single logit z, its distance |z| to the other side, with its slope."""
    return torch.where(logits[:, 0] >= 0, logits[:, 0], -logits[:, 0]) if logits.shape[1] == 1 else logits.amax(1)


@dataclass
class Passed:
    """What one pass through a network went through.

    outputs: those of the layer, leaves of the graph behind it. before, behind: multiplications of weights so far, up to the layer and behind it.
    """

    outputs: list[Tensor] = field(default_factory=list)
    before: int = 0
    behind: int = 0

    @property
    def share(self) -> float:
        """What of the pass lies behind the layer, in [0, 1]."""
        return self.behind / max(1, self.before + self.behind)

    def features(self, layer: str) -> Tensor:
        """The layer's one output, (n, channels, *space)."""
        if len(self.outputs) != 1:
            msg = f"layer: '{layer}' ran {len(self.outputs)} times in a pass, expected a module that runs once"
            raise ValueError(msg)
        if self.outputs[0].ndim < 3:
            msg = f"layer: '{layer}' puts out {tuple(self.outputs[0].shape)}, expected a map of (n, channels, *space)"
            raise ValueError(msg)
        return self.outputs[0]


@contextmanager
def split_at(network: nn.Module, layer: str) -> Iterator[Passed]:
    """Inside the block the layer's output begins a graph of its own, and the pass is measured; every hook is gone afterwards."""
    passed, names = Passed(), parts(network)
    if layer not in names or not layer:
        msg = f"layer: found '{layer}', expected one of {', '.join(name for name in names if name and '.' not in name)} or a module inside them"
        raise ValueError(msg)

    def begin(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:  # noqa: ARG001 - a hook's signature
        passed.outputs.append(output.detach().requires_grad_())
        return passed.outputs[-1].clone()  # what follows may change its input in place

    def measure(module: nn.Module, inputs: Any, output: Tensor) -> None:  # noqa: ARG001 - a hook's signature
        done = module.weight.numel() * math.prod(output.shape[2:])  # type: ignore[operator]
        if passed.outputs:
            passed.behind += done
        else:
            passed.before += done

    with ExitStack() as stack:
        for module in names.values():
            weight = getattr(module, "weight", None)
            if isinstance(weight, Tensor) and weight.ndim > 1:
                stack.callback(module.register_forward_hook(measure).remove)
        stack.callback(names[layer].register_forward_hook(begin).remove)
        yield passed
