"""Networks run in reduced precision: faster where the machine has units for it, and another target, for its answers differ."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from medrobust.digests import digest
from medrobust.errors import SpecError
from medrobust.targets.behind import Behind

if TYPE_CHECKING:
    from medrobust.cell import Precision
    from medrobust.types import Target

class Reduced(nn.Module):
    """A network whose convolutions and products run in bfloat16 (autocast's choice of operations); images in and answers out are float32.

    bfloat16 keeps 8 bits of a number, so that activations are off by up to 1/256 of themselves.
    """

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, image: Tensor, *further: Any) -> Tensor:
        """The answer of `inner`, float32."""
        with torch.autocast(image.device.type, torch.bfloat16):
            answer: Tensor = self.inner(image, *further)
        return answer.float()


def reduced(target: Target, precision: Precision) -> Target:
    """The target with its network run in that precision, and a digest that says so. Raises SpecError where it holds no network."""
    if precision == "float32":
        return target
    network = getattr(target, "network", None)
    if not isinstance(network, nn.Module):
        msg = f"precision: found {precision} for a target of type {type(target).__name__}, expected one that holds a network"
        raise SpecError(msg)
    made: Target = replace(target, network=Reduced(network).eval(), digest=digest([target.digest, precision]))  # type: ignore[type-var]
    return made


def parts(network: nn.Module) -> dict[str, nn.Module]:
    """Every module of a network by its name, which depends neither on the precision nor on what the network stands behind."""
    while isinstance(network, Reduced | Behind):
        network = network.inner
    return dict(network.named_modules())
