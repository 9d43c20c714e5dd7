"""A spec: the YAML file that names a track's grid, read so that every mistake is reported at load, one line each."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt, ValidationError

from medrobust.cell import Precision
from medrobust.errors import SpecError
from medrobust.registry import available, near
from medrobust.strict_yaml import Document, Place, dotted, parse

NONE = "none"
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


class Strict(BaseModel):
    """No unknown field, no value that is turned into another type."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, populate_by_name=False)


class Entry(Strict):
    """A plugin: `name` in the registry, `as` in the tables, `options` for its fields."""

    name: str
    label: str = Field(default="", alias="as")
    options: dict[str, Any] = {}

    @property
    def shown(self) -> str:
        return self.label or self.name


class TargetEntry(Entry):
    """A zoo model, or an architecture with `options` and `weights` (a file, relative to the spec).

    precision: float32, or bfloat16 for a network that is run in mixed precision: another target, with a name and a digest of its own.
    attacks: names in the tables of the attacks it is put through, where a slow target cannot afford them all; every one where empty.
    metrics: names of the metrics it is measured by, where targets are asked different questions; every one where empty.
    """

    weights: str | None = None
    precision: Precision = "float32"
    attacks: Annotated[tuple[str, ...], Field(strict=False)] = ()
    metrics: Annotated[tuple[str, ...], Field(strict=False)] = ()


class AttackEntry(Entry):
    """An attack or explainer.

    store: keep the attacked images or relevance maps under artifacts/.
    conditions: names of those under which it is made, where a costly one cannot be made at every budget; every one where empty.
    """

    store: bool = False
    conditions: Annotated[tuple[str, ...], Field(strict=False)] = ()


class DataEntry(Strict):
    """A data set, and which split of it."""

    name: str
    split: str = "test"
    options: dict[str, Any] = {}


class ConditionEntry(Strict):
    """What one condition overrides in the options of data, of every attack or explainer that has such a field, and of the budget.

    seed: of draws and trainings, in place of the spec's.
    """

    data: dict[str, Any] = {}
    attack: dict[str, Any] = {}
    explainer: dict[str, Any] = {}
    budget: dict[str, Any] = {}
    seed: int | None = None


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


AnEntry = Annotated[Entry, BeforeValidator(_named)]
ATarget = Annotated[TargetEntry, BeforeValidator(_named)]
AnAttack = Annotated[AttackEntry, BeforeValidator(_named)]
Label = Annotated[str, Field(pattern=r"^\S(.*\S)?$")]


class MetricEntries(Strict):
    """Which metrics clean, attacked and explained cells are given."""

    none: tuple[AnEntry, ...] = ()
    attacked: tuple[AnEntry, ...] = ()
    explained: tuple[AnEntry, ...] = ()


class Spec(Strict):
    """A track's grid; `limit` keeps the first cases of the split, `batch` is no part of identity.

    fit_data: the data on which attacks and explainers are trained that are; the data of the cells where it is left out.
    """

    suite: Annotated[str, Field(pattern=NAME)]
    track: str
    title: str = ""
    seed: int = 0
    data: DataEntry
    limit: PositiveInt | None = None
    conditions: Annotated[dict[Label, ConditionEntry], Field(min_length=1)] = {"default": ConditionEntry()}
    targets: Annotated[tuple[ATarget, ...], Field(min_length=1)]
    defenses: Annotated[tuple[AnEntry, ...], Field(min_length=1)] = (Entry(name=NONE),)
    attacks: Annotated[tuple[AnAttack, ...], Field(min_length=1)] = (AttackEntry(name=NONE),)
    explainers: tuple[AnAttack, ...] = ()
    fit_data: Annotated[Entry | None, BeforeValidator(_named)] = None
    transfer: tuple[str, ...] = ()
    budget: Annotated[Entry | None, BeforeValidator(_named)] = None
    metrics: MetricEntries
    batch: PositiveInt = 8
    lock: dict[str, Any] | None = None

    def plain(self) -> dict[str, Any]:
        """As it is written in YAML, without the lock."""
        return self.model_dump(mode="json", by_alias=True, exclude={"lock"}, exclude_defaults=False)


def locate(name: str) -> tuple[str, str]:
    """The text of a spec and what errors call it: a file, else a shipped spec of that name."""
    path = Path(name)
    if path.is_file():
        try:
            return path.read_text(encoding="utf-8"), str(path)
        except (OSError, UnicodeDecodeError) as error:
            msg = f"{path}: {error}; expected a readable text file"
            raise SpecError(msg) from error
    found = [file for point in available("specs").values() for file in files(point.value).iterdir()]
    shipped = {file.name.removesuffix(".yaml"): file for file in found if file.name.endswith(".yaml")}
    if name in shipped:
        return shipped[name].read_text(encoding="utf-8"), f"{name}.yaml"
    msg = f"{name}: found no such file or shipped spec; {near(name, list(shipped))}"
    raise SpecError(msg)


def read(name: str) -> tuple[Spec, Document, str]:
    """A spec by path or shipped name, its document (for line numbers) and what errors call it; plugins are not looked at."""
    text, shown = locate(name)
    document = parse(text, shown)
    if not isinstance(document.content, dict):
        msg = f"{shown}: found {type(document.content).__name__}, expected a mapping with fields {', '.join(Spec.model_fields)}"
        raise SpecError(msg)
    try:
        return Spec.model_validate_json(json.dumps(document.content, default=str)), document, shown
    except ValidationError as error:
        mistakes = error.errors()
        # A list whose only entry is bad is not also empty.
        inside = {mistake["loc"][:depth] for mistake in mistakes for depth in range(1, len(mistake["loc"]))}
        raise SpecError(in_order([_line(mistake, document, shown) for mistake in mistakes if mistake["loc"] not in inside])) from error


def tracks() -> set[str]:
    """The tracks of the shipped specs."""
    folders = [files(point.value) for point in available("specs").values()]
    texts = [file.read_text(encoding="utf-8") for folder in folders for file in folder.iterdir() if file.name.endswith(".yaml")]
    return {match[1] for text in texts if (match := re.search(r"^track: *([\w.-]+) *$", text, re.MULTILINE))}


def at(document: Document, shown: str, place: Place) -> str:
    """The beginning of an error line, such as `spec.yaml:12: targets[0].name`."""
    return f"{shown}:{document.line(place)}: {dotted(place)}"


def in_order(mistakes: list[str]) -> str:
    """One error text, mistakes in the order of their line numbers."""
    numbers = [re.search(r":(\d+): ", mistake) for mistake in mistakes]
    order = sorted(range(len(mistakes)), key=lambda index: int(match[1]) if (match := numbers[index]) else 0)
    return "\n".join(mistakes[index] for index in order)


def _line(mistake: Any, document: Document, shown: str) -> str:
    place: Place = tuple(mistake["loc"])
    if mistake["type"] == "extra_forbidden":
        return f"{at(document, shown, place)}: unknown field; {near(str(place[-1]), _fields(place[:-1]))}"
    if mistake["type"] == "missing":
        return f"{at(document, shown, place)}: missing, expected a value"
    expected = mistake["msg"].removeprefix("Input should be ").replace("an object", "a name or a mapping")
    return f"{at(document, shown, place)}: found {json.dumps(mistake['input'], default=str)[:60]}, expected {expected}"


def _fields(place: Place) -> list[str]:
    """The fields that the model at `place` has, as they are written."""
    annotation: Any = Spec
    for part in place:
        annotation = _inner(annotation, part)
    model = _model(annotation)
    return [field.alias or name for name, field in model.model_fields.items()] if model else []


def _inner(annotation: Any, part: str | int) -> Any:
    model = annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
    if model:
        return next((field.annotation for name, field in model.model_fields.items() if (field.alias or name) == part), None)
    return next((argument for argument in get_args(annotation) if _model(argument)), None)


def _model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for model in map(_model, get_args(annotation)) if model), None)
