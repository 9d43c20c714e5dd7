"""What every defense promises."""

from __future__ import annotations

import torch

from medrobust.testing.bench import Bench
from medrobust.testing.observe import changed, difference, documented, global_generators, network_state, plain_data, seed_global_generators
from medrobust.testing.promise import Promise
from medrobust.types import Defense, Target


def defense_promises() -> list[Promise]:
    """Every promise of a defense, in order."""
    return [
        Promise("D1", "gives a target of the same task that answers in the shape of the original", gives_a_target),
        Promise("D2", "leaves the original alone: weights, modes, gradients and hooks", leaves_original_alone),
        Promise("D3", "repeats under one seed, and neither reads nor moves a global generator", repeats),
        Promise("D4", "gives its target a digest of its own", has_its_own_digest),
        Promise("D5", "is plain data: a frozen dataclass that survives JSON and pickle", plain_data),
        Promise("D6", "cites its source and documents every field", documented),
    ]


def defend(defense: Defense, bench: Bench, target: Target | None = None) -> Target:
    return defense(target or bench.target(), bench.data(), torch.Generator().manual_seed(0))


def gives_a_target(defense: Defense, bench: Bench) -> str:
    batch, defended = bench.batch(), defend(defense, bench)
    if not isinstance(defended, Target):
        return f"found {type(defended).__name__}, which lacks a member of Target"
    if defended.task != bench.target().task:
        return f"found a target of task {defended.task!r}, expected {bench.target().task!r}"
    with torch.no_grad():
        shapes = {"prediction": defended(batch.image, batch).shape, "loss": defended.loss(batch.image, batch).shape}
        expected = {"prediction": bench.target()(batch.image, batch).shape, "loss": torch.Size([len(batch)])}
    wrong = [f"{name} is {tuple(shape)}, expected {tuple(expected[name])}" for name, shape in shapes.items() if shape != expected[name]]
    return wrong[0] if wrong else ""


def leaves_original_alone(defense: Defense, bench: Bench) -> str:
    target = bench.target()
    before = network_state(target.network)
    defend(defense, bench, target)
    return changed(before, network_state(target.network))


def repeats(defense: Defense, bench: Bench) -> str:
    batch = bench.batch()
    predictions = []
    with torch.random.fork_rng(devices=()):
        for seed in (1, 2):
            seed_global_generators(seed)
            untouched = global_generators()
            defended = defend(defense, bench)
            if global_generators() != untouched:
                return "a global generator was moved: draw from `rng` alone"
            with torch.no_grad():
                predictions.append({"prediction": defended(batch.image, batch)})
    return difference(predictions[0], predictions[1])


def has_its_own_digest(defense: Defense, bench: Bench) -> str:
    digest = defend(defense, bench).digest
    if len(digest) != 12 or set(digest) - set("0123456789abcdef"):
        return f"digest is {digest!r}, expected 12 hexadecimal digits"
    return "" if digest != bench.target().digest else "the digest is the original's: their results could not be told apart"
