"""What every attack promises."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from medrobust.guard import BLACK_BOX, NO_BOX, WHITE_BOX, Guarded
from medrobust.testing.bench import Bench, BenchTarget
from medrobust.testing.observe import (
    changed,
    copies,
    difference,
    documented,
    global_generators,
    network_state,
    plain_data,
    seed_global_generators,
    tensors,
)
from medrobust.testing.promise import Promise
from medrobust.testing.training import fit, trained
from medrobust.types import Attack, Attacked, Batch, Target, Trainable

TOLERANCE = 1e-4  # a batch of another size may round otherwise


def attack_promises() -> list[Promise]:
    """Every promise of an attack, in order."""
    return [
        Promise("A1", "keeps shape, dtype and device", keeps_shape),
        Promise("A2", "stays in its budget", stays_in_budget),
        Promise("A3", "raises the loss: what it returns is no worse than its best query; a no-box attack need not", raises_the_loss),
        Promise("A4", "repeats under one seed, and neither reads nor moves a global generator", repeats),
        Promise("A5", "treats each case alone: neither batch size nor order changes a result", treats_cases_alone),
        Promise("A6", "leaves its inputs alone", leaves_inputs_alone),
        Promise("A7", "leaves the target alone: weights, modes, gradients and hooks", leaves_target_alone),
        Promise("A8", "is plain data: a frozen dataclass that survives JSON and pickle", plain_data),
        Promise("A9", "cites its source and documents every field", documented),
        Promise("A10", "honours its threat: a black-box attack asks for outputs alone, a no-box one for nothing at all", honours_threat),
        Promise("A11", "counts its queries: a trace has one number a query of a case, of `expectation` answers each, and NaN beyond", counts_queries),
    ]


def run(attack: Attack, bench: Bench, batch: Batch | None = None, target: Target | None = None) -> Attacked:
    """The attack as the harness calls it: trained where it must be, on a target that shows what the threat model allows."""
    batch = bench.batch() if batch is None else batch
    return trained(attack, bench)(Guarded(target or bench.target(), attack.threat), batch, bench.budget, bench.random(batch.cases))


def keeps_shape(attack: Attack, bench: Bench) -> str:
    batch = bench.batch()
    attacked = run(attack, bench, batch)
    for name, tensor, like in (("image", attacked.image, batch.image), ("truth", attacked.truth, batch.truth)):
        if tensor is None:
            continue
        if (tensor.shape, tensor.dtype, tensor.device) != (like.shape, like.dtype, like.device):
            return f"{name} is {tuple(tensor.shape)} {tensor.dtype} on {tensor.device}, expected {tuple(like.shape)} {like.dtype}"
        if not bool(tensor.isfinite().all()):
            return f"{name} holds NaN or infinity"
    if attacked.region is not None and (attacked.region.dtype != torch.bool or attacked.region.shape != batch.image[:, :1].shape):
        return f"region is {tuple(attacked.region.shape)} {attacked.region.dtype}, expected {tuple(batch.image[:, :1].shape)} torch.bool"
    short = [name for name, tensor in tensors(attacked).items() if len(tensor) != len(batch)]
    if short:
        return f"{short[0]} has {len(tensors(attacked)[short[0]])} rows for {len(batch)} cases"
    tracked = [name for name, tensor in tensors(attacked).items() if tensor.requires_grad]
    return f"{tracked[0]} still carries its graph: detach it" if tracked else ""


def stays_in_budget(attack: Attack, bench: Bench) -> str:
    batch = bench.batch()
    found = [line for line in bench.budget.audit(batch, run(attack, bench, batch)) if line]
    return found[0] if found else ""


def raises_the_loss(attack: Attack, bench: Bench) -> str:
    if attack.threat == NO_BOX:
        return ""
    batch, target = bench.batch(), bench.target()
    attacked = run(attack, bench, batch, target)
    judged = bench.judge(target, batch, attacked)
    if bench.objective is None:
        clean = bench.judge(target, batch, Attacked(batch.image))
        fell = bool((judged < clean * (1 - TOLERANCE)).any()) and not isinstance(attack, Trainable)  # a trained one serves all cases at once
        if fell or not bool(judged.mean() > clean.mean()):
            return f"loss {judged.tolist()}, of the clean images {clean.tolist()}"
    if "loss" in attacked.trace:
        best = highest(attacked).to(judged)
        if not torch.allclose(judged, best, rtol=1e-3):
            return f"loss {judged.tolist()}, of the best queries by its trace {best.tolist()}"
    return ""


def highest(attacked: Attacked) -> Tensor:
    """The highest loss that each case's trace names, (n,)."""
    losses = attacked.trace["loss"]
    return losses.masked_fill(losses.isnan(), -torch.inf).amax(1)


def repeats(attack: Attack, bench: Bench) -> str:
    with torch.random.fork_rng(devices=()):
        results = []
        for seed in (1, 2):
            seed_global_generators(seed)
            untouched = global_generators()
            results.append(tensors(run(attack, bench)))
            if global_generators() != untouched:
                return "a global generator was moved: draw from `rng` alone"
    return difference(results[0], results[1])


def treats_cases_alone(attack: Attack, bench: Bench) -> str:
    batch = bench.batch()
    whole = tensors(run(attack, bench, batch))
    for order in ([2, 0, 3, 1], [1], [3]):
        part = tensors(run(attack, bench, batch.select(order)))
        found = difference({name: tensor[order] for name, tensor in whole.items()}, part, TOLERANCE)
        if found:
            return f"{found} between a batch of {len(batch)} and cases {order} of it"
    return ""


def leaves_inputs_alone(attack: Attack, bench: Bench) -> str:
    batch = bench.batch()
    before = copies(batch)
    attacked = run(attack, bench, batch)
    found = difference(before, tensors(batch))
    if found or batch.image.requires_grad:
        return found or "image requires a gradient afterwards"
    attacked.image.add_(1)
    return "" if not difference(before, tensors(batch)) else "the returned image shares memory with the batch: clone it"


def leaves_target_alone(attack: Attack, bench: Bench) -> str:
    target = bench.target()
    before = network_state(target.network)
    run(attack, bench, target=target)
    return changed(before, network_state(target.network))


def honours_threat(attack: Attack, bench: Bench) -> str:
    threat = getattr(attack, "threat", None)
    if threat not in (NO_BOX, BLACK_BOX, WHITE_BOX):
        return f"threat is {threat!r}, expected {NO_BOX!r}, {BLACK_BOX!r} or {WHITE_BOX!r}"
    try:
        attacked = run(attack, bench)
        found = difference(tensors(attacked), tensors(run_against_another(attack, bench))) if threat == NO_BOX else ""
    except (RuntimeError, AttributeError) as error:
        return f"it declares {threat} and asks for more: {error}"
    return f"it declares {threat}, and {found} between two targets" if found else ""


def run_against_another(attack: Attack, bench: Bench) -> Attacked:
    """As `run`, but before a target of another digest whose weights are all zero, in the training too."""
    target: BenchTarget = bench.target()
    other = replace(target, network=copy.deepcopy(target.network), digest="ba9876543210")
    with torch.no_grad():
        for tensor in other.network.state_dict().values():
            tensor.zero_()
    if isinstance(attack, Trainable):
        with TemporaryDirectory() as folder:
            attack = replace(attack, weights=fit(attack, bench, Path(folder), target=other))  # type: ignore[type-var]
    return run(attack, bench, target=other)


def counts_queries(attack: Attack, bench: Bench) -> str:
    batch, target = bench.batch(), Guarded(bench.target(), attack.threat)
    attacked = trained(attack, bench)(target, batch, bench.budget, bench.random(batch.cases))
    for name, trace in attacked.trace.items():
        if trace.ndim != 2 or len(trace) != len(batch) or not trace.dtype.is_floating_point:
            return f"trace[{name!r}] is {tuple(trace.shape)} {trace.dtype}, expected ({len(batch)}, queries) of floats"
        told = int(getattr(attack, "expectation", 1)) * int((~trace.isnan()).sum())
        if name != "restart" and target.passes.forward != told:
            return f"{target.passes.forward} images were asked, trace[{name!r}] holds {told} queries of {len(batch)} cases"
    return ""
