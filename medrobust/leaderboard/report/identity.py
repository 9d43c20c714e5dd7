"""What a model is, as its card says it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medrobust.targets.card import Card

UNKNOWN = "No card: this is no shipped model, so nothing is said here of its architecture, its training data or its weights."
BY_NAME = "From the card of the shipped model of this name; the rows themselves do not hold the digest of its weights."
ENDS = (" low", " high")
SHOWN = ("data", "data_label", "split", "patients", "images", "slices", "volumes", "start")


def card_lines(card: Card | None) -> tuple[tuple[str, str], ...]:
    """Name and text of everything but its figures."""
    if card is None:
        return ()
    training = card.training
    lines = [
        ("task", card.task),
        ("architecture", f"{card.architecture}({said(card.options)})" if card.options else card.architecture),
        ("intensity", card.intensity),
        *((f"trained on: {name.replace('_', ' ')}" if name != "data" else "trained on", str(training[name])) for name in SHOWN if training.get(name)),
        ("objective", said(training["objective"]) if isinstance(training.get("objective"), dict) else ""),
        ("schedule", said(training["schedule"]) if isinstance(training.get("schedule"), dict) else ""),
        ("digest of its weights", card.digest),
    ]
    return tuple((name, text) for name, text in lines if text)


def said(value: Any) -> str:
    """Plain data on one line, such as `depth=10, widths=[16, 32]`."""
    if isinstance(value, Mapping):
        held = {name: item for name, item in value.items() if item not in ({}, "")}
        return ", ".join(f"{name}=({said(item)})" if isinstance(item, Mapping) else f"{name}={said(item)}" for name, item in held.items())
    if isinstance(value, list):
        return f"[{', '.join(map(said, value))}]"
    return str(value)


def note(card: Card | None, digest: str | None) -> str:
    """Where the card comes from. digest: of the target that was measured, None where that is not known."""
    if card is None:
        return UNKNOWN if digest is None else f"{UNKNOWN} The digest of what was measured is {digest}."
    if digest is None:
        return BY_NAME
    return f"From the card of the shipped model; what was measured has its digest, {digest}."


def figures(card: Card | None) -> tuple[tuple[str, str], ...]:
    """What the card declares, with intervals where it gives them."""
    if card is None:
        return ()
    held = card.figures
    ends = {name: [held.get(name + end) for end in ENDS] for name in held if not name.endswith(ENDS)}
    return tuple((name, f"{held[name]:.4g}" + ("" if None in both else f" [{both[0]:.4g}, {both[1]:.4g}]")) for name, both in ends.items())
