"""Checking, splitting and joining what attacks and targets return."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from medrobust.types import Attacked, Batch, Explained, Outcome


def check_attacked(batch: Batch, attacked: Attacked) -> Attacked:
    """The same, without graphs; shapes, types or numbers that the contract rules out raise ValueError."""
    image = _like(attacked.image, batch.image, "image")
    truth = None if attacked.truth is None else _like(attacked.truth, batch.truth, "truth")
    region = attacked.region
    if region is not None:
        expected = (len(batch), 1, *batch.image.shape[2:])
        if tuple(region.shape) != expected or region.dtype != torch.bool:
            msg = f"region: found {tuple(region.shape)} {region.dtype}, expected {expected} torch.bool"
            raise ValueError(msg)
    moved = attacked.field
    if moved is not None:
        wanted = (len(batch), batch.image.ndim - 2, *batch.image.shape[2:])
        if tuple(moved.shape) != wanted or moved.dtype != torch.float32 or not bool(moved.isfinite().all()):
            msg = f"field: found {_kind(moved)}, expected {wanted} torch.float32, finite"
            raise ValueError(msg)
    for name, tensor in attacked.context.items():
        if name not in batch.context:
            msg = f"context: found '{name}', expected one of {', '.join(sorted(batch.context))}"
            raise ValueError(msg)
        _like(tensor, batch.context[name], f"context {name}")
    for name, tensor in attacked.trace.items():
        if tensor.ndim != 2 or len(tensor) != len(batch):
            msg = f"trace {name}: found {tuple(tensor.shape)}, expected ({len(batch)}, queries)"
            raise ValueError(msg)
    context = {name: tensor.detach() for name, tensor in attacked.context.items()}
    trace = {name: tensor.detach().cpu() for name, tensor in attacked.trace.items()}
    region = None if region is None else region.to(image.device)
    return Attacked(image, truth, region, context, trace, None if moved is None else moved.detach().to(image.device))


def check_explained(batch: Batch, explained: Explained) -> Explained:
    """The same, without graphs; what the contract rules out raises ValueError."""
    expected = (len(batch), *batch.image.shape[2:])
    relevance, regions = explained.relevance, explained.regions
    if tuple(relevance.shape) != expected or relevance.dtype != torch.float32:
        msg = f"relevance: found {tuple(relevance.shape)} {relevance.dtype}, expected {expected} torch.float32"
        raise ValueError(msg)
    if not bool(torch.isfinite(relevance).all()):
        msg = "relevance: found values that are not finite"
        raise ValueError(msg)
    if regions is not None and (tuple(regions.shape) != expected or regions.dtype != torch.int64 or int(regions.min()) < 0):
        msg = f"regions: found {tuple(regions.shape)} {regions.dtype}, expected {expected} torch.int64 labels from 0"
        raise ValueError(msg)
    return Explained(relevance.detach().cpu(), None if regions is None else regions.cpu())


def _like(found: Tensor, expected: Tensor, what: str) -> Tensor:
    if found.shape != expected.shape or found.dtype != expected.dtype or found.device != expected.device:
        msg = f"{what}: found {_kind(found)}, expected {_kind(expected)}"
        raise ValueError(msg)
    if found.dtype.is_floating_point and what in ("image", "truth") and not bool(torch.isfinite(found).all()):
        msg = f"{what}: found values that are not finite"
        raise ValueError(msg)
    return found.detach()


def _kind(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} {tensor.dtype} on {tensor.device}"


def check_prediction(prediction: Tensor, batch: Batch) -> Tensor:
    """The same; a prediction without one finite answer a case raises ValueError."""
    if len(prediction) != len(batch):
        msg = f"found predictions for {len(prediction)} cases, expected {len(batch)}"
        raise ValueError(msg)
    if not bool(torch.isfinite(prediction).all()):
        msg = "found a prediction that is not finite"
        raise ValueError(msg)
    return prediction


def select(outcome: Outcome, indices: Sequence[int]) -> Outcome:
    """The cases at `indices`, in that order."""
    rows = list(indices)
    attacked = outcome.attacked

    def pick(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else tensor[rows]

    chosen = Attacked(
        attacked.image[rows],
        pick(attacked.truth),
        pick(attacked.region),
        {name: tensor[rows] for name, tensor in attacked.context.items()},
        {name: tensor[rows] for name, tensor in attacked.trace.items()},
        pick(attacked.field),
    )
    explained = outcome.explained and Explained(outcome.explained.relevance[rows], pick(outcome.explained.regions))
    return replace(outcome, batch=outcome.batch.select(rows), attacked=chosen, prediction=outcome.prediction[rows], explained=explained, again=None)


def join(outcomes: Sequence[Outcome]) -> Outcome:
    """Several outcomes of one cell as one, in order."""
    if len(outcomes) == 1:
        return outcomes[0]
    batches, attacks = [outcome.batch for outcome in outcomes], [outcome.attacked for outcome in outcomes]

    def joined(tensors: Sequence[Tensor | None]) -> Tensor | None:
        present = [tensor for tensor in tensors if tensor is not None]
        return torch.cat(present) if present else None

    batch = Batch(
        torch.cat([one.image for one in batches]),
        torch.cat([one.truth for one in batches]),
        tuple(case for one in batches for case in one.cases),
        {name: torch.cat([one.context[name] for one in batches]) for name in batches[0].context},
    )
    attacked = Attacked(
        torch.cat([one.image for one in attacks]),
        joined([one.truth for one in attacks]),
        joined([one.region for one in attacks]),
        {name: torch.cat([one.context[name] for one in attacks]) for name in attacks[0].context},
        {name: torch.cat([one.trace[name] for one in attacks]) for name in attacks[0].trace},
        joined([one.field for one in attacks]),
    )
    maps = [one.explained for one in outcomes if one.explained]
    explained = Explained(torch.cat([one.relevance for one in maps]), joined([one.regions for one in maps])) if maps else None
    prediction = torch.cat([one.prediction for one in outcomes])
    return replace(outcomes[0], batch=batch, attacked=attacked, prediction=prediction, explained=explained, again=None)
