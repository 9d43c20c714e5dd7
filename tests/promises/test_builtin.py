"""Every built-in plugin keeps every promise of its kind."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from medrobust import registry
from medrobust.cli.catalog import owner
from medrobust.options import configure
from medrobust.testing.discover import PROMISES, benches_for

SMALL: dict[str, dict[str, Any]] = {
    "unet": {"channels": 4, "pools": 2},
    "resnet": {"depth": 10, "widths": [4, 6, 8, 8]},
    "resnet-2d": {"depth": 10, "widths": [4, 4, 8, 8]},
    "densenet-2d": {"features": 8, "growth": 4, "blocks": [2, 2]},
    "lime": {"segments": 12, "samples": 30},
    "relevance-map": {"segments": 12},
    "relevance-optimal-local": {"segments": 12, "training": {"generator": {"widths": [4, 6, 4]}, "epochs": 2, "volumes": 1, "superpixels": 8}},
    "occlusion": {"size": 8},
    "rise": {"masks": 30},
    "integrated-gradients": {"steps": 5},
    "explainers ogp": {"segments": 12, "training": {"generator": {"widths": [4, 6, 4]}, "epochs": 2}},
    "attacks ogp": {"training": {"generator": {"widths": [4, 6, 4]}, "epochs": 2}},
    "deform-shade": {
        "training": {
            "generator": {"widths": [4, 6], "latent": 3, "grid": 4},
            "critic": {"widths": [4, 6]},
            "steps": 12,
            "interval": 5,
            "batch": 4,
            "learning_rate": 0.01,
        }
    },
    "cyclegan": {
        "training": {
            "generator": {"channels": 2, "blocks": 1},
            "discriminator": {"channels": 2},
            "steps": 6,
            "constant": 3,
            "interval": 4,
            "pool": 2,
            "validate": 2,
        }
    },
    "fnaf-robust": {"schedule": {"steps": 2, "batch": 2}},
    "deform-robust": {
        "training": {"generator": {"widths": [4, 6], "latent": 3, "grid": 4}, "critic": {"widths": [4, 6]}, "steps": 3, "batch": 2},
        "xi": [1.0, 2.0],
        "patches": {"size": 24},
        "schedule": {"steps": 2, "batch": 3},
    },
    "art-pgd": {"steps": 4, "restarts": 2},
    "art-mim": {"steps": 4},
    "art-apgd": {"steps": 6},
    "art-square": {"iterations": 15},
    "art-cw": {"steps": 3, "searches": 3, "constant": 1.0},
    "art-autoattack": {"steps": 4, "square": 8},
    "apgd": {"steps": 12, "restarts": 2},
    "square": {"queries": 40},
    "autoattack": {"steps": 8, "square": 20},
    "madry": {"steps": 2, "schedule": {"steps": 2, "batch": 2}},
    "pgd-training": {"steps": 2, "patches": {"size": 24}, "schedule": {"steps": 2, "batch": 3}},
}
"""Options that make a plugin small, by name, or by kind and name; the others are checked as they come."""

BUILTIN = [
    (kind, name, promise)
    for kind in PROMISES
    for name, point in registry.available(kind).items()
    if owner(point) == "medrobust"
    for promise in PROMISES[kind]()
]

suited = cache(benches_for)


@pytest.mark.parametrize(("kind", "name", "promise"), BUILTIN, ids=[f"{name}-{promise}" for _, name, promise in BUILTIN])
def test_a_built_in_plugin_keeps(kind: str, name: str, promise: Any) -> None:
    _, plugin = configure(kind, name, SMALL.get(f"{kind} {name}") or SMALL.get(name, {}), name)
    for bench in suited(kind, plugin):
        promise(plugin, bench)


def test_every_kind_with_promises_has_built_in_plugins() -> None:
    assert {kind for kind, _, _ in BUILTIN} == set(PROMISES)
