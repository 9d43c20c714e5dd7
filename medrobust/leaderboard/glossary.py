"""The words of a page, each explained in a line: what is compared, how, by which attacks, and what the checks hold."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from medrobust import registry
from medrobust.judge import described
from medrobust.leaderboard.asked import WORDS
from medrobust.leaderboard.evidence import Record

GENERAL = (
    ("entrant", "a model, with its defense after a plus sign where it has one, or an explainer of a model"),
    ("condition", "what all attacks of a group of entries were allowed, such as a budget"),
    (
        "worst case, shared attacks",
        (
            "of each case the worst value under any attack that every attacked entrant of the condition was put through; the worst over all its own "
            "attacks is in a column of its own"
        ),
    ),
    (
        "tier",
        (
            "in the order of the means a new tier begins at the first entrant measurably worse than the first of the tier before. Nobody in a "
            "tier is measurably worse than its first; two others of one tier may still differ measurably"
        ),
    ),
    ("ranks 1 to 3", "interval of the rank that holds with 95 % certainty: how many entrants the tests find better, and how many worse"),
    ("brackets", "95 % interval of a mean, found by resampling patients; not the spread of cases"),
    ("p value", "how often a difference as large would come up between two entrants that are alike, all pairs considered; below 0.05 they differ"),
    ("sign flips", "how p values are found: were two entrants alike, each patient's difference could as well have the other sign"),
    ("leads in x % of resamples", "how often an entrant is first when patients are drawn anew; no probability of being best, and no test"),
    ("Kendall's tau", "agreement of two orders: 1 the same, 0 unrelated, \N{MINUS SIGN}1 reversed"),
    ("pgd from X", "transfer: images that the attack found on the model X, shown to another"),
    ("ok, info, warn, invalid", "what the checks say of a number: nothing, something worth knowing, a reason for care, not to be believed"),
)
CHECK = re.compile(r"V\d\d")


@dataclass(frozen=True)
class Word:
    """name: as it stands on the page. meaning: a sentence or less. config: of an attack or explainer, how it was set; else empty."""

    name: str
    meaning: str
    config: str = ""


Glossary = tuple[tuple[str, tuple[Word, ...]], ...]


def glossary(records: Sequence[Record]) -> Glossary:
    """Headings with their words: those that these cells need, in the order met."""
    tracks = dict.fromkeys(record.track for record in records)
    own = dict.fromkeys(word for track in tracks for word in WORDS.get(track, ()))
    found = [
        ("What is compared", tuple(Word(*word) for word in GENERAL)),
        ("Words of this track", tuple(Word(*word) for word in own)),
        ("Attacks", tuple(_probes(records, "attacks"))),
        ("Explainers", tuple(_probes(records, "explainers"))),
        ("Defenses", tuple(_defenses(records))),
        ("Checks that had something to say", tuple(checks(reason for record in records for reason in record.reasons))),
    ]
    return tuple((heading, words) for heading, words in found if words)


def _probes(records: Sequence[Record], kind: str) -> Iterable[Word]:
    wanted = [record for record in records if record.attack != "none" and record.source is None and record.explains == (kind == "explainers")]
    first: dict[str, str] = {}
    for name, config in dict.fromkeys((record.attack, record.config) for record in wanted):
        meaning = said(kind, config.partition("(")[0] or name)
        like = first.setdefault(meaning, name)
        if meaning or config:
            yield Word(name, f"like {like}, set otherwise" if meaning and like != name else meaning, config)


def _defenses(records: Sequence[Record]) -> Iterable[Word]:
    for name in dict.fromkeys(record.defense for record in records if record.defense != "none"):
        yield Word(name, said("defenses", name) or "see the card of the model that bears it")


def checks(reasons: Iterable[str]) -> Iterable[Word]:
    """What the checks hold that gave these reasons, by their numbers."""
    named = {found[0] for reason in reasons if (found := CHECK.match(reason)) and reason[3:4] == ":"}
    for number in sorted(named):
        held = dict.fromkeys(one.holds for one in described() if one.id == number)
        if held:
            yield Word(number, " ".join(held))


@cache
def said(kind: str, name: str) -> str:
    """The first sentence of a plugin's docstring, read from its file: nothing is imported. Empty where there is none."""
    point = registry.available(kind).get(name)
    if point is None:
        return ""
    try:
        place = importlib.util.find_spec(point.module)
        tree = ast.parse(Path(place.origin).read_text(encoding="utf-8")) if place and place.origin else ast.Module([], [])
    except (ImportError, OSError, SyntaxError, ValueError):
        return ""
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == point.attr:
            return " ".join((ast.get_docstring(node) or "").partition("\n\n")[0].split())
    return ""
