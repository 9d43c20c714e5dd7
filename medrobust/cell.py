"""One square of a spec's grid: the unit of work, of resume, of caching and of distribution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from medrobust.digests import digest, plain

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Configured:
    """A plugin with its whole configuration.

    name: in the registry, or in the zoo.
    label: its name in the tables.
    options: every field of the plugin, defaults included.
    weights: a weight file, for an architecture that is not in the zoo.
    neutral: options that change no number, marked `compare=False` in the plugin, or that have the value at which they change none, which the field's
        metadata call `neutral`: so an option that is new leaves the identity of older cells as it was.
    precision: what a target's network is run in; the target's digest says so too.
    """

    name: str
    label: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    weights: str | None = None
    neutral: tuple[str, ...] = ()
    precision: Precision = "float32"

    @property
    def identity(self) -> dict[str, Any]:
        return {"name": self.name, "options": {name: value for name, value in plain(self.options).items() if name not in self.neutral}}

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Configured:
        """The plugin whose `plain` form `fields` is."""
        return cls(**{**fields, "neutral": tuple(fields["neutral"])})


@dataclass(frozen=True)
class Cell:
    """target@digest x defense x attack@config x budget x data@digest x condition x seed.

    target, defense, attack, budget: None stands for no defense, clean images and no budget.
    explainer: what explains the clean images; a cell has an attack, an explainer or neither.
    columns: what its rows say in `target`, `defense` and `attack`.
    cases: how many; `cases_digest` is the digest of their names in order, `limit` how the spec cut them.
    zoo: the target is a zoo model, rather than an architecture with options and weights.
    source: digest of the cell whose stored images it replays on its own target; None where it attacks itself.
    fit, fit_digest: the data on which its attack or explainer is trained; None where it is not.
    swept: the options of `data` that its condition sets. store: keep the attacked images or relevance maps. Both change no number.
    """

    track: str
    condition: str
    seed: int
    data: Configured
    data_digest: str
    data_label: str
    split: str
    limit: int | None
    cases: int
    cases_digest: str
    target: Configured
    target_digest: str
    defense: Configured | None
    attack: Configured | None
    budget: Configured | None
    metrics: tuple[Configured, ...]
    columns: Mapping[str, str]
    zoo: bool = False
    source: str | None = None
    swept: tuple[str, ...] = ()
    store: bool = False
    explainer: Configured | None = None
    fit: Configured | None = None
    fit_digest: str = ""

    @property
    def identity(self) -> dict[str, Any]:
        """What changes a number or a name in a row, and nothing else: no path, order, device or batch size."""
        further = {"explainer": self.explainer.identity} if self.explainer else {}
        further |= {"fit": {"name": self.fit.name, "digest": self.fit_digest}} if self.fit else {}
        return {
            "track": self.track,
            "condition": self.condition,
            "seed": self.seed,
            "data": {"name": self.data.name, "digest": self.data_digest, "split": self.split, "cases": self.cases_digest},
            "target": self.target_digest,
            "defense": self.defense.identity if self.defense else None,
            "attack": self.attack.identity if self.attack else None,
            "budget": self.budget.identity if self.budget else None,
            "metrics": [metric.identity for metric in self.metrics],
            "columns": dict(self.columns),
            "source": self.source,
            **further,
        }

    @property
    def probe(self) -> Configured | None:
        """Its attack or explainer; None for clean images."""
        return self.attack or self.explainer

    @cached_property
    def digest(self) -> str:
        """12 hexadecimal digits of the identity: the name of the cell's folder."""
        return digest(self.identity)

    @property
    def name(self) -> str:
        """The cell in words, such as `4x unet fnaf-random`."""
        defense = "" if self.columns["defense"] == "none" else f"+{self.columns['defense']}"
        return f"{self.condition} {self.columns['target']}{defense} {self.columns['attack']}"

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Cell:
        """The cell whose `plain` form `fields` is."""
        single = {name: Configured.of(fields[name]) if fields[name] else None for name in ("defense", "attack", "budget", "explainer", "fit")}
        metrics = tuple(Configured.of(metric) for metric in fields["metrics"])
        data, target = Configured.of(fields["data"]), Configured.of(fields["target"])
        return cls(**{**fields, **single, "data": data, "target": target, "metrics": metrics, "swept": tuple(fields["swept"])})
