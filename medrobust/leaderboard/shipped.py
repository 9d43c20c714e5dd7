"""The cards of shipped models, and the shipped specs of a track, as the leaderboard's rows name them."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import yaml

from medrobust import registry
from medrobust.leaderboard.section import Model
from medrobust.targets import zoo
from medrobust.targets.card import Card


def cards() -> dict[Model, Card]:
    """By target and defense; of several cards with one name none, for they cannot be told apart."""
    found = [zoo.card(name) for name in zoo.names()]
    names = [Model(card.target, card.defense) for card in found]
    return {name: card for name, card in zip(names, found, strict=True) if names.count(name) == 1}


def specs(track: str) -> dict[str, str]:
    """Suite to title of every shipped spec of a track."""
    texts = [
        path.read_text(encoding="utf-8")
        for name in registry.available("specs")
        for path in files(registry.load("specs", name)).iterdir()
        if path.name.endswith(".yaml")
    ]
    contents: list[dict[str, Any]] = [yaml.load(text, yaml.CSafeLoader) for text in texts]
    return {str(one["suite"]): str(one.get("title", "")) for one in sorted(contents, key=lambda one: str(one["suite"])) if one["track"] == track}
