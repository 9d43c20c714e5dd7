"""What every explainer promises."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace

import torch
from torch import Tensor, nn

from medrobust.guard import BLACK_BOX, WHITE_BOX, Guarded, frozen
from medrobust.outcomes import check_explained
from medrobust.testing.bench import Bench
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
from medrobust.testing.training import has_a_recipe, resumes, trained, trains_beside_the_target, trains_by_its_seed
from medrobust.testing.volumes import VolumeData
from medrobust.types import Batch, Explained, Explainer, Target, Trainable

TOLERANCE = 1e-4  # a batch of another size may round otherwise


def explainer_promises() -> list[Promise]:
    """Every promise of an explainer, in order; the last three are about trainable ones, and kept by all others."""
    found = [
        Promise("E1", "gives one finite map a case, in the shape of the image's space, without a graph", gives_maps),
        Promise("E2", "labels its regions from 0 without gaps, and is constant within each", is_constant_within_regions),
        Promise("E3", "repeats under one seed, and neither reads nor moves a global generator", repeats),
        Promise("E4", "treats each case alone: neither batch size nor order changes a map", treats_cases_alone),
        Promise("E5", "leaves its inputs alone, and gives its maps away", leaves_inputs_alone),
        Promise("E6", "leaves the target alone: weights, modes, gradients and hooks", leaves_target_alone),
        Promise("E7", "is plain data: a frozen dataclass that survives JSON and pickle", is_plain_data),
        Promise("E8", "cites its source and documents every field", documented),
        Promise("E9", "honours its threat: a black-box explainer asks for outputs alone", honours_threat),
        Promise("E10", "counts its passes: what it runs of the network, and no more than it declares", counts_passes),
        Promise("E11", "trains by its seed: one seed gives one set of weights", trains_by_its_seed),
        Promise("E12", "resumes its training from the checkpoints in its folder", resumes),
        Promise("E13", "trains beside the target: leaves it alone, on the splits train and val", trains_beside_the_target),
    ]
    return [replace(promise, task=VolumeData.task) for promise in found]


def explain(explainer: Explainer, bench: Bench, batch: Batch | None = None, target: Target | None = None) -> Explained:
    """The explainer as the harness calls it: trained where it must be, on a frozen target that shows what the threat model allows."""
    batch = bench.batch() if batch is None else batch
    guarded = Guarded(target or bench.target(), explainer.threat)
    ready = trained(explainer, bench)
    with frozen(guarded), torch.set_grad_enabled(guarded.white_box):
        return ready(guarded, batch, bench.random(batch.cases))


def gives_maps(explainer: Explainer, bench: Bench) -> str:
    batch = bench.batch()
    explained = explain(explainer, bench, batch)
    if not isinstance(explained, Explained):
        return f"found {type(explained).__name__}, expected Explained"
    try:
        check_explained(batch, explained)
    except ValueError as error:
        return str(error)
    return "relevance still carries its graph: detach it" if explained.relevance.requires_grad else ""


def is_constant_within_regions(explainer: Explainer, bench: Bench) -> str:
    explained = explain(explainer, bench)
    if explained.regions is None:
        return ""
    for relevance, regions in zip(explained.relevance, explained.regions, strict=True):
        labels = regions.flatten()
        found = torch.unique(labels)
        if not torch.equal(found, torch.arange(len(found))):
            return f"found {len(found)} regions with labels from {int(found[0])} to {int(found[-1])}, expected labels 0 to {len(found) - 1}"
        spread = [relevance.new_zeros(len(found)).scatter_reduce(0, labels, relevance.flatten(), how, include_self=False) for how in ("amax", "amin")]
        uneven = (spread[0] != spread[1]).nonzero()
        if len(uneven):
            label = int(uneven[0])
            return f"relevance runs from {spread[1][label]:.4g} to {spread[0][label]:.4g} within region {label}"
    return ""


def repeats(explainer: Explainer, bench: Bench) -> str:
    trained(explainer, bench)
    with torch.random.fork_rng(devices=()):
        results = []
        for seed in (1, 2):
            seed_global_generators(seed)
            untouched = global_generators()
            results.append(copies(explain(explainer, bench)))
            if global_generators() != untouched:
                return "a global generator was moved: draw from `rng` alone"
    return difference(results[0], results[1])


def treats_cases_alone(explainer: Explainer, bench: Bench) -> str:
    batch = bench.batch()
    whole = copies(explain(explainer, bench, batch))
    for order in ([2, 0, 3, 1], [1], [3]):
        part = tensors(explain(explainer, bench, batch.select(order)))
        found = difference({name: tensor[order] for name, tensor in whole.items()}, part, TOLERANCE)
        if found:
            return f"{found} between a batch of {len(batch)} and cases {order} of it"
    return ""


def leaves_inputs_alone(explainer: Explainer, bench: Bench) -> str:
    batch = bench.batch()
    before = copies(batch)
    explained = explain(explainer, bench, batch)
    found = difference(before, tensors(batch))
    if found or batch.image.requires_grad:
        return found or "image requires a gradient afterwards"
    first = copies(explained)
    with torch.inference_mode():
        for tensor in tensors(explained).values():
            tensor.add_(1)
    if difference(before, tensors(batch)):
        return "the map shares memory with the batch: clone it"
    found = difference(first, tensors(explain(explainer, bench, batch)))
    return f"{found} once an earlier map was changed: give away a copy of what is kept" if found else ""


def leaves_target_alone(explainer: Explainer, bench: Bench) -> str:
    target = bench.target()
    guarded, ready = Guarded(target, explainer.threat), trained(explainer, bench)
    batch = bench.batch()
    before = network_state(target.network)
    with torch.set_grad_enabled(guarded.white_box):
        ready(guarded, batch, bench.random(batch.cases))
    return changed(before, network_state(target.network))


def is_plain_data(explainer: Explainer, bench: Bench) -> str:
    if isinstance(explainer, Trainable) and is_dataclass(explainer):
        if any(field.name == "weights" and field.compare for field in fields(explainer)):
            return "trained weights enter equality: declare them as field(default_factory=dict, compare=False)"
        return plain_data(replace(explainer, weights={})) or has_a_recipe(explainer, bench)
    return plain_data(explainer)


def honours_threat(explainer: Explainer, bench: Bench) -> str:
    threat = getattr(explainer, "threat", None)
    if threat not in (BLACK_BOX, WHITE_BOX):
        return f"threat is {threat!r}, expected {BLACK_BOX!r} or {WHITE_BOX!r}"
    try:
        explain(explainer, bench)
    except (RuntimeError, AttributeError) as error:
        return f"it declares {threat} and asks for more: {error}"
    return ""


def counts_passes(explainer: Explainer, bench: Bench) -> str:
    target, batch, ready = bench.target(), bench.batch(), trained(explainer, bench)
    guarded, seen = Guarded(target, explainer.threat), [0]

    def note(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen[0] += len(inputs[0])

    handle = target.network.register_forward_pre_hook(note)
    try:
        with frozen(target), torch.set_grad_enabled(guarded.white_box):
            ready(guarded, batch, bench.random(batch.cases))
    finally:
        handle.remove()
    if seen[0] > guarded.passes.forward:
        return f"{seen[0]} volumes went through the network, {guarded.passes.forward:g} were reported: tell `target.count`"
    for name, found in (("queries", guarded.passes.forward), ("gradients", guarded.passes.gradient)):
        declared = getattr(explainer, name, None)
        if declared is not None and found > declared * len(batch):
            return f"it declares {declared} {name} a case and took {found / len(batch):g}"
    return ""
