"""What an overview says in a few sentences: who stands first, beside whom, how sure that is, and whether to believe it."""

from __future__ import annotations

from dataclasses import dataclass

from medrobust.leaderboard.overview.standing import Overview, Standing
from medrobust.leaderboard.tables import LEVELS, Entry
from medrobust.leaderboard.text import whole

UNRANKED = "not ranked: "


@dataclass(frozen=True)
class Answer:
    """Sentences, empty where there is nothing to say.

    where: the condition spoken of, empty where there is one alone. leaders: names of its first tier. score: of the first.
    beside: another's. sure: what tests and changed choices say. believed: what the checks say.
    """

    where: str
    leaders: tuple[str, ...]
    score: str
    beside: str
    sure: str
    believed: str


def answer(overview: Overview) -> Answer:
    """Of the condition whose worst case is over the most attacks, of several such the first."""
    conditions = tuple(dict.fromkeys(one.condition for one in overview.standings))
    ranked = {condition: [one for one in overview.standings if one.condition == condition and one.tier is not None] for condition in conditions}
    able = [condition for condition in conditions if ranked[condition]]
    if not able:
        return Answer("", (), _nobody(overview), "", "", _believed(overview))
    over = {condition: len(attacks) for condition, attacks in overview.compared}
    where = max(able, key=lambda condition: over.get(condition, 0))
    found = ranked[where]
    leaders = [one for one in found if one.tier == 1] or found[:1]
    return Answer(
        where if len(conditions) > 1 else "",
        tuple(one.name for one in leaders),
        _score(overview, leaders[0], over.get(where, 0)),
        _beside(overview, leaders, found),
        _sure(overview, leaders, found),
        _believed(overview),
    )


def said(overview: Overview, entry: Entry) -> str:
    """A number with its unit and interval, such as `83.0 % [74.5, 89.8]`."""
    if entry.estimate is None:
        return whole(entry, overview.headline)
    first, _, rest = whole(entry, overview.headline).partition(" ")
    return " ".join(part for part in (first, overview.headline.shown, rest) if part)


def result(overview: Overview, standing: Standing) -> Entry:
    """What it is ranked by."""
    return standing.worst if overview.attacks else standing.clean


def _score(overview: Overview, first: Standing, attacks: int) -> str:
    name = overview.headline.name
    if not overview.attacks:
        return f"{name} {said(overview, first.clean)}"
    over = {0: "in the worst case", 1: "under the one attack that all share"}
    under = over.get(attacks, f"under the worst of {attacks} attacks that all share, case by case")
    clean = "" if first.clean.estimate is None else f"; {said(overview, first.clean)} on clean images"
    return f"{name} {said(overview, first.worst)} {under}{clean}"


def _beside(overview: Overview, leaders: list[Standing], found: list[Standing]) -> str:
    """The first's own model without its defense, else who stands last; nothing of who is in the first tier as well."""
    first = leaders[0]
    rest = [one for one in found if one not in leaders]
    plain = next((one for one in rest if one.target == first.target and one.defense == "none"), None)
    other = plain or (rest[-1] if rest else None)
    if other is None:
        return ""
    words = f"the same model without {first.defense}" if other is plain else f"last of {len(found)}, {other.name}"
    return f"{words}: {said(overview, result(overview, other))}"


def _sure(overview: Overview, leaders: list[Standing], found: list[Standing]) -> str:
    others = len(found) - len(leaders)
    if len(found) < 2:
        return "There is nobody to be compared with."
    if not others:
        parts = [f"Nobody of the {len(found)} is measurably worse than the first: this data set does not tell who is best."]
    elif len(leaders) == 1:
        parts = [f"Measurably ahead of {'the other' if others == 1 else f'all {others} others'}, by tests of all pairs that hold together at 5 %."]
    else:
        alike = f"{len(leaders) - 1} of the {len(found) - 1} others"
        parts = [f"Not measurably ahead of {alike}; measurably ahead of the first of the next tier."]
    if overview.sensitivity:
        parts.append(_choices(overview))
    return " ".join(parts)


def _choices(overview: Overview) -> str:
    lost = [changed for changed, _, same in overview.sensitivity if not same]
    tries = len(overview.sensitivity)
    kinds = "such as a metric, an attack or a patient"
    if not lost:
        return f"Had {'one choice' if tries == 1 else f'any of {tries} choices'} been another, {kinds}, the winner would be the same."
    others = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
    makes = "makes" if len(lost) == 1 else "make"
    return f"Of {tries} choices that might have been others, {kinds}, {len(lost)} {makes} another win: {lost[0]}{others}."


def _believed(overview: Overview) -> str:
    levels = [one.validity.level for one in overview.standings]
    counts = {level: levels.count(level) for level in (*LEVELS, "missing") if level in levels}
    words = {
        "ok": "without a remark",
        "info": "with a note",
        "warn": "with a warning",
        "invalid": "not to be believed",
        "missing": "without a number",
    }
    unranked = sum(one.tier is None for one in overview.standings)
    parts = ", ".join(f"{count} {words[level]}" for level, count in counts.items())
    doubts = [reason for one in overview.standings if one.validity.level in ("warn", "invalid") for reason in one.validity.reasons]
    often = f" Most often: {max(dict.fromkeys(doubts), key=doubts.count)}." if doubts else ""
    ranked = f"{unranked} not ranked" if unranked else "all are ranked"
    return f"Of {len(levels)} {'entry' if len(levels) == 1 else 'entries'}: {parts}; {ranked}.{often}"


def _nobody(overview: Overview) -> str:
    why = why_unranked(overview)
    return f"Nobody is ranked{f': {why}' if why else ''}."


def why_unranked(overview: Overview) -> str:
    """The reason that most entrants are not ranked for, else that they are too few to compare."""
    reasons = [reason for one in overview.standings for reason in one.validity.reasons if reason.startswith(UNRANKED)]
    if reasons:
        return max(dict.fromkeys(reasons), key=reasons.count).removeprefix(UNRANKED)
    conditions = [one.condition for one in overview.standings]
    alone = len(set(conditions)) == len(conditions)
    return "an entrant that stands alone in its condition has nobody to be compared with" if alone else ""
