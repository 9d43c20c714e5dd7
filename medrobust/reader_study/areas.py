"""What is measured of readers: areas under their ROC curves on originals and on tampered images, and of telling the two apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from medrobust.reader_study.key import ORIGINAL, TAMPERED, Key, Shown
from medrobust.reader_study.returned import Number, Returned
from medrobust.stats.delong import Area, Comparison, delong_area, delong_chance, delong_comparison
from medrobust.stats.obuchowski_rockette import MultiReader, obuchowski_rockette
from medrobust.stats.placements import Scored

CONVENTIONS = ("original", "target")
"""Truth of a tampered image: as it was before, or as the tampering intended."""


@dataclass(frozen=True)
class Samples:
    """One reader's ratings as samples.

    A case that was shown twice has one name in `originals` and `tampered`, so that it is paired; an image has its own in `detection`.
    Patients tie together what is not independent.

    tampered: by label convention. detection: of all conditions under "", and of each against all originals.
    """

    originals: Scored
    tampered: dict[str, Scored]
    detection: dict[str, Scored]

    @staticmethod
    def of(key: Key, one: Returned) -> Samples:

        def sample(scale: str, rows: Sequence[Shown], positive: Callable[[Shown], bool], name: Callable[[Shown], str]) -> Scored:
            rows = [shown for shown in rows if scale in one.ratings.get(shown.image, {})]
            scores: list[Number] = [one.ratings[shown.image][scale] for shown in rows]
            return Scored.of(scores, [positive(shown) for shown in rows], [name(shown) for shown in rows], [shown.patient for shown in rows])

        genuine = [shown for shown in key.images.values() if shown.version == ORIGINAL]
        changed = [shown for shown in key.images.values() if shown.version == TAMPERED]
        originals = sample("malignancy", genuine, lambda shown: shown.truth == 1, lambda shown: shown.case)
        tampered = {
            "original": sample("malignancy", changed, lambda shown: shown.truth == 1, lambda shown: shown.case),
            "target": sample("malignancy", changed, lambda shown: shown.target == 1, lambda shown: shown.case),
        }
        of = {"": changed} | {name: [shown for shown in changed if shown.condition == name] for name in key.conditions}
        detection = {
            name: sample("tampering", [*genuine, *these], lambda shown: shown.version == TAMPERED, lambda shown: shown.image)
            for name, these in of.items()
        }
        return Samples(originals, tampered, detection)


@dataclass(frozen=True)
class OneReader:
    """Areas of one reader, and tests: originals less tampered by label convention, detection against 0.5, of the last condition less the first."""

    name: str
    samples: Samples
    originals: Area
    tampered: dict[str, Area]
    compared: dict[str, Comparison]
    detection: dict[str, Comparison]
    later: Comparison | None


@dataclass(frozen=True)
class AllReaders:
    """The same over readers, Obuchowski and Rockette.

    detection: of all conditions as one. conditions: one modality each, the last first; None for fewer than two.
    """

    compared: dict[str, MultiReader]
    detection: MultiReader
    conditions: MultiReader | None


def one_reader(key: Key, one: Returned, name: str) -> OneReader:
    samples = Samples.of(key, one)

    def area(sample: Scored) -> Area:
        return delong_area(sample.scores, sample.positive, sample.patients)

    compared = {convention: delong_comparison(samples.originals, sample) for convention, sample in samples.tampered.items()}
    detection = {condition: delong_chance(one.scores, one.positive, one.patients) for condition, one in samples.detection.items()}
    later = None
    if len(key.conditions) > 1:
        later = delong_comparison(samples.detection[key.conditions[-1]], samples.detection[key.conditions[0]])
    tampered = {convention: area(sample) for convention, sample in samples.tampered.items()}
    return OneReader(name, samples, area(samples.originals), tampered, compared, detection, later)


def all_readers(key: Key, readers: Sequence[OneReader]) -> AllReaders | None:
    """None for fewer than two readers, of whom nothing is known of how readers differ, and where one rated no image of a kind."""
    needed = [each for one in readers for each in (one.samples.originals, *one.samples.tampered.values(), *one.samples.detection.values())]
    if len(readers) < 2 or any(len(sample.scores) == 0 for sample in needed):
        return None
    compared = {
        convention: _over(
            [(ORIGINAL, one.name, one.samples.originals) for one in readers]
            + [(TAMPERED, one.name, one.samples.tampered[convention]) for one in readers]
        )
        for convention in CONVENTIONS
    }
    detection = _over([("detection", one.name, one.samples.detection[""]) for one in readers])
    each = [(condition, one.name, one.samples.detection[condition]) for condition in reversed(key.conditions) for one in readers]
    return AllReaders(compared, detection, _over(each) if len(key.conditions) > 1 else None)


def _over(samples: Sequence[tuple[str, str, Scored]]) -> MultiReader:
    rows = [
        (score, positive, modality, reader, case, patient)
        for modality, reader, one in samples
        for score, positive, case, patient in zip(one.scores.tolist(), one.positive.tolist(), one.cases.tolist(), one.patients.tolist(), strict=True)
    ]
    scores, positive, modality, reader, case, patient = (list(column) for column in zip(*rows, strict=True))
    return obuchowski_rockette(scores, positive, modality, reader, case, patient)
