"""What a report cannot speak of: cells without numbers, attacks and threats that were not tried, and what no cell of any run tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from medrobust.leaderboard.evidence import Record
from medrobust.leaderboard.report.belief import place
from medrobust.leaderboard.report.content import Gap
from medrobust.leaderboard.section import Model, Section

THREATS = {
    "white-box": "attacks that see the model's gradients",
    "black-box": "attacks that see the model's answers alone",
    "no-box": "attacks that never ask the model",
}
PHANTOM = "phantom"


def gaps(section: Section, model: Model, suite: str, specs: Mapping[str, str]) -> tuple[Gap, ...]:
    """Everything that is known to be missing. specs: the shipped specs of the track, suite to title."""
    own = [record for record in section.records if (record.target, record.defense) == model]
    return (*cells(own), *unplanned(section, own), *threats(own), *others(suite, specs), *limits(section, model, own))


def cells(own: Sequence[Record]) -> list[Gap]:
    """Planned cells of the model that have no numbers, or none to be believed."""
    found = [Gap(place(record), f"{record.status}: {record.error}" if record.error else record.status) for record in own if not record.measured]
    return found + [Gap(place(r), "; ".join(r.reasons) or "invalid", "invalid") for r in own if r.measured and r.level == "invalid"]


def unplanned(section: Section, own: Sequence[Record]) -> list[Gap]:
    """Attacks and conditions that others were put through and this model was not; replays of another model's images count with their attack."""
    tried = {(record.attack, record.condition) for record in own}
    seen: dict[str, dict[str, None]] = {}
    for record in section.records:
        if record.source is None and (record.attack, record.condition) not in tried:
            seen.setdefault("clean images" if record.attack == "none" else record.attack, {})[record.condition] = None
    return [Gap(name, f"other models were put through it, this one was not ({', '.join(conditions)})") for name, conditions in seen.items()]


def threats(own: Sequence[Record]) -> list[Gap]:
    """Kinds of attacker that no believed cell has; replays are shown nothing, and count as no kind but their own."""
    attacks = [record for record in own if record.attack != "none" and not record.explains]
    if not attacks:
        return [Gap("attacks", "none was made on this model")]
    believed = [record for record in attacks if record.measured and record.level != "invalid" and not record.control]
    shown = {record.threat for record in believed}
    made = [record for record in attacks if record.source is None]
    unknown = sum(not record.threat for record in made)
    known = " known" if unknown else ""
    found = [Gap(words, f"no {threat} cell{known} to be believed") for threat, words in THREATS.items() if threat not in shown]
    if not any(record.source for record in believed):
        replayed = any(record.source for record in attacks)
        found.append(Gap("images that were found on another model", f"no replay{' to be believed' if replayed else ' was made on this one'}"))
    return found + ([Gap("what attackers were shown", f"not recorded for {unknown} of {len(made)} attacked cells")] if unknown else [])


def others(suite: str, specs: Mapping[str, str]) -> list[Gap]:
    """What else of the track is shipped."""
    here = {part.partition("@")[0].strip() for part in suite.split(" + ")}
    left = {name: title for name, title in specs.items() if name not in here}
    return [Gap(f"spec {name}: {title}".rstrip(": "), "another spec of this track, not part of this report") for name, title in left.items()]


def limits(section: Section, model: Model, own: Sequence[Record]) -> list[Gap]:
    """What follows from the kind of data and of defense."""
    found = []
    if section.data_label.startswith(PHANTOM):
        found.append(Gap("patients", "these images are phantoms, made by a program: nothing here was measured on a person"))
    if model.defense != "none" and any(record.attack != "none" for record in own):
        found.append(Gap(f"attackers who know of the defense {model.defense}", "no attack is counted as adapted to it unless its name above says so"))
    return found
