"""Which cells of two runs are held against each other, and which of them hold the same patients."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from medrobust.leaderboard.evidence import Evidence, Record


@dataclass(frozen=True)
class Pair:
    """A cell of each side, of one name, or given as single cells."""

    first: Record
    second: Record

    @property
    def name(self) -> str:
        """In words, such as `4x recon-unet fnaf-random`; both where they differ."""
        return " | ".join(dict.fromkeys(_words(record) for record in (self.first, self.second)))

    @property
    def paired(self) -> bool:
        """Whether both hold the same data, so that cases of one name are the same case."""
        one, two = self.first, self.second
        return one.digest == two.digest or (bool(one.data_digest) and (one.data_digest, one.split) == (two.data_digest, two.split))

    @property
    def apart(self) -> str:
        """Why its cases are not paired; empty where they are."""
        if self.paired:
            return ""
        one, two = self.first, self.second
        if not (one.data_digest and two.data_digest):
            sides = " and ".join(side for side, record in (("A", one), ("B", two)) if not record.data_digest)
            return f"it is not known whether {_data(one)} is the same in A and B: {sides} did not record the digest of its data"
        return f"{_data(one)} has the digest {one.data_digest} in A, {_data(two)} has {two.data_digest} in B"


def _words(record: Record) -> str:
    return " ".join([record.condition, record.target, *([] if record.defense == "none" else [f"+ {record.defense}"]), record.attack])


def _data(record: Record) -> str:
    return f"{record.data} {record.split}"


def pairs(first: Evidence, second: Evidence) -> list[Pair]:
    """Cells of one name that both measured; two single cells whatever their names."""
    if len(first.records) == len(second.records) == 1:
        return [Pair(first.records[0], second.records[0])]
    others = {record.names: record for record in second.records if record.measured}
    return [Pair(record, others[record.names]) for record in first.records if record.measured and record.names in others]


def unpaired(found: Iterable[Pair]) -> tuple[str, ...]:
    """What is not paired, and why: a line each way of not being so."""
    reasons: dict[str, list[Pair]] = {}
    for pair in found:
        if pair.apart:
            reasons.setdefault(pair.apart, []).append(pair)
    return tuple(f"Not paired by case: {reason} ({_count(len(held))})" for reason, held in reasons.items())


def _count(cells: int) -> str:
    return "1 cell" if cells == 1 else f"{cells} cells"
