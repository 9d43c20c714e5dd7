"""The card of a shipped model: what it is, what it was trained on, and the digest its weights must have."""

from __future__ import annotations

from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from medrobust.errors import WeightsError

CARD = "card.yaml"
WEIGHTS = "weights.safetensors"


class Card(BaseModel):
    """One zoo model, as its `card.yaml` says it.

    name: the folder's name. task, architecture, options: registry kinds `tasks` and `targets`, and the architecture's fields.
    target, defense: the model's columns in the tables; defense is `none` for a plain model.
    intensity: the intensity convention in words. training: data, split, schedule. figures: measured on the declared test set, such as `nmse@4x`.
    digest: identity of architecture, options and weights as they are after loading.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)
    name: str
    task: str
    architecture: str
    options: dict[str, Any] = Field(default_factory=dict)
    target: str
    defense: str = "none"
    intensity: str = ""
    training: dict[str, Any] = Field(default_factory=dict)
    figures: dict[str, float] = Field(default_factory=dict)
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]


def read_card(text: str, where: str) -> Card:
    """The card in a YAML text; `where` names the file in errors."""
    try:
        return check_card(yaml.safe_load(text), where)
    except yaml.YAMLError as error:
        msg = f"{where}: {' '.join(str(error).split())}; expected YAML"
        raise WeightsError(msg) from error


def check_card(fields: object, where: str) -> Card:
    """The card with these fields; WeightsError with every misspelt, missing or mistyped one in one line."""
    try:
        return Card.model_validate(fields)
    except ValidationError as error:
        found = "; ".join(f"{'.'.join(map(str, item['loc'])) or 'card'}: {item['msg']}, found {item['input']!r:.60}" for item in error.errors())
        msg = f"{where}: {found}"
        raise WeightsError(msg) from error


def card_text(card: Card) -> str:
    """The card as YAML."""
    return yaml.safe_dump(card.model_dump(), sort_keys=False, allow_unicode=True, width=120)
