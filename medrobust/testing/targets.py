"""What every architecture promises: a frozen dataclass whose `build()` gives the network of its task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import safetensors.torch
import torch
from torch import Tensor, nn

from medrobust import registry
from medrobust.testing.bench import Bench
from medrobust.testing.observe import changed, copies, difference, documented, network_state, plain_data, tensors
from medrobust.testing.promise import Promise
from medrobust.types import Target


class Architecture(Protocol):
    """What the registry kind `targets` holds."""

    task: str

    def build(self) -> nn.Module: ...


def target_promises() -> list[Promise]:
    """Every promise of an architecture, in order."""
    return [
        Promise("T1", "builds a network for a registered task", builds),
        Promise("T2", "answers in the shape of its task and the dtype of the image", answers_in_shape),
        Promise("T3", "repeats in evaluation mode, and keeps no state between calls", repeats),
        Promise("T4", "treats each case alone: neither batch size nor order changes a result", treats_cases_alone),
        Promise("T5", "lets gradients reach the image", lets_gradients_through),
        Promise("T6", "survives safetensors: the same weights give the same answers", survives_safetensors),
        Promise("T7", "leaves its inputs alone", leaves_inputs_alone),
        Promise("T8", "is plain data: a frozen dataclass that survives JSON and pickle", plain_data),
        Promise("T9", "cites its source and documents every field", documented),
    ]


def network(architecture: Architecture) -> nn.Module:
    """A fresh network in evaluation mode, the same at every call."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        return architecture.build().eval()


def target_of(architecture: Architecture, module: nn.Module) -> Target:
    target: Target = registry.load("tasks", architecture.task)(module, "0123456789ab")
    return target


def predict(target: Target, bench: Bench, rows: list[int] | None = None) -> Tensor:
    batch = bench.batch() if rows is None else bench.batch().select(rows)
    with torch.no_grad():
        return target(batch.image, batch)


def builds(architecture: Architecture, _: Bench) -> str:
    if architecture.task not in registry.available("tasks"):
        return f"task is {architecture.task!r}; {registry.near(architecture.task, list(registry.available('tasks')))}"
    module = architecture.build()
    return "" if isinstance(module, nn.Module) else f"build() gives {type(module).__name__}, expected a torch.nn.Module"


def answers_in_shape(architecture: Architecture, bench: Bench) -> str:
    image = bench.batch().image
    prediction = predict(target_of(architecture, network(architecture)), bench)
    found = ANSWERS[bench.task](prediction, image)
    if found or prediction.dtype != image.dtype:
        return found or f"found {prediction.dtype}, expected {image.dtype}"
    return "" if bool(prediction.isfinite().all()) else "the prediction holds NaN or infinity"


def like_the_image(prediction: Tensor, image: Tensor) -> str:
    return "" if prediction.shape == image.shape else f"found {tuple(prediction.shape)}, expected {tuple(image.shape)}"


def probabilities(prediction: Tensor, image: Tensor) -> str:
    if prediction.ndim != 2 or len(prediction) != len(image) or not prediction.shape[1]:
        return f"found {tuple(prediction.shape)}, expected ({len(image)}, classes)"
    if bool((prediction < 0).any()) or bool((prediction > 1).any()):
        return f"found probabilities from {prediction.min():.3g} to {prediction.max():.3g}, expected them in [0, 1]"
    total = prediction.sum(1)
    if prediction.shape[1] > 1 and not torch.allclose(total, torch.ones_like(total), atol=1e-4):
        return f"found probabilities that sum to {total[0]:.4g}, expected 1"
    return ""


def log_probabilities(prediction: Tensor, image: Tensor) -> str:
    if prediction.ndim != 4 or (len(prediction), *prediction.shape[2:]) != (len(image), *image.shape[2:]) or prediction.shape[1] < 2:
        return f"found {tuple(prediction.shape)}, expected ({len(image)}, classes, {', '.join(map(str, image.shape[2:]))})"
    total = prediction.exp().sum(1)
    if not torch.allclose(total, torch.ones_like(total), atol=1e-4):
        return f"found log-probabilities whose exponentials sum to {float(total.flatten()[0]):.4g}, expected 1"
    return ""


ANSWERS: dict[str, Callable[[Tensor, Tensor], str]] = {
    "reconstruction": like_the_image,
    "classification": probabilities,
    "segmentation": log_probabilities,
}


def repeats(architecture: Architecture, bench: Bench) -> str:
    module = network(architecture)
    before = network_state(module)
    target = target_of(architecture, module)
    found = difference({"prediction": predict(target, bench)}, {"prediction": predict(target, bench)})
    return found or changed(before, network_state(module))


def treats_cases_alone(architecture: Architecture, bench: Bench) -> str:
    target = target_of(architecture, network(architecture))
    whole = predict(target, bench)
    for order in ([2, 0, 3, 1], [1]):
        found = difference({"prediction": whole[order]}, {"prediction": predict(target, bench, order)}, 1e-4)
        if found:
            return f"{found} between a batch of {len(whole)} and cases {order} of it"
    return ""


def lets_gradients_through(architecture: Architecture, bench: Bench) -> str:
    batch, target = bench.batch(), target_of(architecture, network(architecture))
    image = batch.image.clone().requires_grad_()
    prediction = target(image, batch)
    if not prediction.requires_grad:
        return "the prediction carries no graph"
    (gradient,) = torch.autograd.grad(prediction.square().sum(), image, allow_unused=True)
    if gradient is None:
        return "the graph does not reach the image"
    if not bool(gradient.isfinite().all()):
        return "the gradient holds NaN or infinity"
    silent = [case.case for case, one in zip(batch.cases, gradient, strict=True) if not bool(one.any())]
    return f"the gradient is zero everywhere for {', '.join(silent)}" if silent else ""


def survives_safetensors(architecture: Architecture, bench: Bench) -> str:
    module = network(architecture)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(0.9)
    try:
        stored = safetensors.torch.load(safetensors.torch.save(module.state_dict()))
    except (RuntimeError, ValueError) as error:
        return " ".join(str(error).split())[:200]
    fresh = network(architecture)
    fresh.load_state_dict(stored)
    one, other = (predict(target_of(architecture, each), bench) for each in (module, fresh))
    return difference({"prediction": one}, {"prediction": other})


def leaves_inputs_alone(architecture: Architecture, bench: Bench) -> str:
    batch = bench.batch()
    before = copies(batch)
    with torch.no_grad():
        target_of(architecture, network(architecture))(batch.image, batch)
    return difference(before, tensors(batch))
