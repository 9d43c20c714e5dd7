"""Readings as iMRMC text, which the FDA's tool reads: https://github.com/DIDSR/iMRMC."""

from __future__ import annotations

import re
from collections.abc import Sequence

from medrobust.reader_study.areas import OneReader
from medrobust.reader_study.key import Key
from medrobust.stats.placements import Scored


def imrmc_texts(key: Key, readers: Sequence[OneReader]) -> dict[str, str]:
    """By file name; names lose what the format could take for its own.

    The truth of a case stands there once, so that under the label `target` tampered images are cases of their own.
    """
    label = {
        convention: [("original", one, one.samples.originals, "") for one in readers]
        + [("tampered", one, one.samples.tampered[convention], "" if convention == "original" else "-tampered") for one in readers]
        for convention in ("original", "target")
    }
    detection = [("detection", one, one.samples.detection[""], "") for one in readers]
    texts = {f"imrmc-{name}-label.txt": _text(key, name, rows) for name, rows in label.items()}
    return texts | {"imrmc-detection.txt": _text(key, "detection", detection)}


def _text(key: Key, what: str, samples: Sequence[tuple[str, OneReader, Scored, str]]) -> str:
    codes = {name: f"R{number}" for number, name in enumerate(dict.fromkeys(one.name for _, one, _, _ in samples), 1)}
    named: dict[str, str] = {}
    truth: dict[str, int] = {}
    rows = []
    for modality, one, sample, ending in samples:
        for case, positive, score in zip(sample.cases.tolist(), sample.positive.tolist(), sample.scores.tolist(), strict=True):
            code = named.setdefault(case + ending, f"C{len(named) + 1}{ending}")
            truth[code] = int(positive)
            rows.append(f"{codes[one.name]},{code},{modality},{score:g}")
    head = [f"medrobust reader study {key.study}, {what}", *(f"{code} is {re.sub('[^A-Za-z0-9 .-]', '_', name)}" for name, code in codes.items())]
    counts = [f"NR: {len(codes)}", f"N0: {sum(value == 0 for value in truth.values())}", f"N1: {sum(truth.values())}"]
    counts.append(f"NM: {len({modality for modality, *_ in samples})}")
    states = [f"truth,{code},truth,{value}" for code, value in truth.items()]
    return "\n".join([*head, *counts, "BEGIN DATA:", *states, *rows]) + "\n"
