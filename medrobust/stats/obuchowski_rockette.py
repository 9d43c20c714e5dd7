"""Multi-reader multi-case analysis of areas under the ROC curve: modalities x readers x cases, by Obuchowski and Rockette as revised by Hillis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from medrobust.stats.bootstrap import LEVEL, Floats, Interval
from medrobust.stats.delong import check_owners
from medrobust.stats.placements import UNDEFINED, Scored, delong_covariance, placements

# What rounding leaves of mean squares and of variances that are 0.
NO_SQUARE, NO_VARIANCE = 1e-24, 1e-18

Covariance: TypeAlias = Callable[[Sequence[Scored]], Floats]
Inference: TypeAlias = Callable[["Mean"], tuple[float, float]]


@dataclass(frozen=True)
class Mean:
    """What the error of a mean over readers is made of.

    square: mean square it is tested against, MS(T:R) between modalities, MS(R) within one. df: its degrees of freedom.
    variance: error variance of one reader (between modalities less Cov1). covariance: Cov2 (between modalities less Cov3). readers: how many.
    """

    square: float
    df: int
    variance: float
    covariance: float
    readers: int


def random_readers_and_cases(mean: Mean) -> tuple[float, float]:
    """Of the population of readers and of cases: MS + max(r Cov2, 0), df = denominator^2 / (MS^2 / df). Source: Hillis 2007, doi:10.1002/sim.2532."""
    denominator = mean.square + mean.readers * max(mean.covariance, 0.0)
    if mean.df == 0:
        return UNDEFINED, UNDEFINED
    return denominator, mean.df * (denominator / mean.square) ** 2 if mean.square > 0 else np.inf


def fixed_readers(mean: Mean) -> tuple[float, float]:
    """Of these readers and the population of cases: Var + (r - 1) max(Cov2, 0), infinite df. Source: Hillis et al. 2005, doi:10.1002/sim.2024."""
    return mean.variance + (mean.readers - 1) * max(mean.covariance, 0.0), np.inf


def fixed_cases(mean: Mean) -> tuple[float, float]:
    """Of the population of readers and these cases: MS, its own df. Source: Hillis et al. 2005."""
    return (mean.square, float(mean.df)) if mean.df else (UNDEFINED, UNDEFINED)


@dataclass(frozen=True)
class Components:
    """Mean squares and covariances that the tests are made of.

    areas: (t, r), of t modalities and r readers. covariance: (t r, t r), of the areas for cases drawn anew, modality by modality.
    modality, reader, interaction: mean squares MS(T), MS(R), MS(T:R); NaN without degrees of freedom.
    variance: mean error variance. cov1: of one reader in two modalities. cov2: of two readers in one modality. cov3: of neither in common.
    """

    areas: Floats
    covariance: Floats
    modality: float
    reader: float
    interaction: float
    variance: float
    cov1: float
    cov2: float
    cov3: float

    @staticmethod
    def of(areas: Floats, covariance: Floats) -> Components:
        t, r = areas.shape
        whole, rows, columns = areas.mean(), areas.mean(1, keepdims=True), areas.mean(0, keepdims=True)
        squares = r * ((rows - whole) ** 2).sum(), t * ((columns - whole) ** 2).sum(), ((areas - rows - columns + whole) ** 2).sum()
        degrees = t - 1, r - 1, (t - 1) * (r - 1)
        mean_squares = (_settled(float(square / df), NO_SQUARE) if df else UNDEFINED for square, df in zip(squares, degrees, strict=True))
        test, reader = np.divmod(np.arange(t * r), r)
        same_test, same_reader = test[:, None] == test, reader[:, None] == reader
        pairs = same_test & same_reader, ~same_test & same_reader, same_test & ~same_reader, ~same_test & ~same_reader
        return Components(areas, covariance, *mean_squares, *(float(covariance[pair].mean()) if pair.any() else 0.0 for pair in pairs))

    def difference(self) -> Mean:
        t, r = self.areas.shape
        return Mean(self.interaction, (t - 1) * (r - 1), self.variance - self.cov1, self.cov2 - self.cov3, r)

    def alone(self, modality: int) -> Mean:
        """Of one modality, from its own data."""
        r = self.areas.shape[1]
        own = Components.of(self.areas[[modality]], self.covariance[modality * r : (modality + 1) * r, modality * r : (modality + 1) * r])
        return Mean(own.reader, r - 1, own.variance, own.cov2, r)


def _settled(value: float, least: float) -> float:
    return 0.0 if value < least else value


@dataclass(frozen=True)
class Effect:
    """A mean area of one modality, or the difference of two, with its test against 0.5, or against 0.

    area: the mean over readers, or the difference, with its interval; `patients` and `cases` are those of its modalities. Cut to [0, 1] or [-1, 1].
    statistic: (mean - 0.5) / error or difference / error, Student's t with `df`, normal where that is infinite. p: two-sided.
    Where the error is 0 there is no interval, and p is 1 for no difference, else NaN; the note of the study says so.
    """

    name: str
    area: Interval
    error: float
    statistic: float
    df: float
    p: float


@dataclass(frozen=True)
class MultiReader:
    """Modalities compared over readers.

    modalities, readers: names, in the order they came. effects: mean area of each modality, from its own data alone.
    differences: each modality less each later one; p for one comparison, not corrected for several.
    statistic: MS(T) / denominator, F with df1 and df2; where df2 is infinite, df1 x statistic is chi-squared. p: that all modalities are equal.
    design: `factorial` (every reading of the same cases), `cases nested in modality` (none shared between modalities), or `partially paired`.
    note: what could not be computed and why, or a design that the covariances only average over; empty where nothing is to be said.
    """

    modalities: tuple[str, ...]
    readers: tuple[str, ...]
    effects: tuple[Effect, ...]
    differences: tuple[Effect, ...]
    statistic: float
    df1: int
    df2: float
    p: float
    components: Components
    design: str
    note: str


def obuchowski_rockette(
    scores: ArrayLike,
    positive: ArrayLike,
    modality: ArrayLike,
    reader: ArrayLike,
    case: ArrayLike,
    patient: ArrayLike | None = None,
    inference: Inference = random_readers_and_cases,
    covariance: Covariance = delong_covariance,
    level: float = LEVEL,
) -> MultiReader:
    """Compare modalities by the areas of readers who each read every modality. All arguments to `patient` are (n,), one row a reading.

    AUC_ij = mean + modality_i + reader_j + interaction_ij + error_ij. F = MS(T) / (MS(T:R) + max(r (Cov2 - Cov3), 0)) for random readers and cases.
    A case of the same name in two modalities is the same image or a version of it. Where modalities have cases (and patients) of their own, Cov1 and
    Cov3 are 0 and F = MS(T) / (MS(T:R) + max(r Cov2, 0)); where they share some, Cov1 and Cov3 come from those alone, and are less by as much.

    Source: Obuchowski and Rockette 1995; Hillis 2007, doi:10.1002/sim.2532; Hillis 2014, doi:10.1002/sim.5926, for cases nested in modality.
    """
    samples, modalities, readers = _grid(scores, positive, modality, reader, case, patient)
    check_owners(samples)
    shape = len(modalities), len(readers)
    parts = Components.of(np.array([placements(sample).area for sample in samples]).reshape(shape), covariance(samples))
    groups = [samples[row * shape[1] : (row + 1) * shape[1]] for row in range(shape[0])]
    means = parts.areas.mean(1)
    effects = []
    for row, name in enumerate(modalities):
        denominator, df = inference(parts.alone(row))
        effects.append(_effect(name, _counted(float(means[row]), groups[row]), 0.5, denominator / shape[1], df, level))
    denominator, df = inference(parts.difference())
    differences = []
    for a, b in combinations(range(shape[0]), 2):
        name, both = f"{modalities[a]} - {modalities[b]}", _counted(float(means[a] - means[b]), groups[a] + groups[b])
        differences.append(_effect(name, both, 0.0, 2 * denominator / shape[1], df, level))
    statistic, p = _test(parts.modality, denominator, shape[0] - 1, df)
    design, uneven = _design(groups)
    note = "; ".join([*uneven, *_notes(parts, [*effects, *differences])])
    return MultiReader(modalities, readers, tuple(effects), tuple(differences), statistic, shape[0] - 1, df, p, parts, design, note)


def _grid(
    scores: ArrayLike, positive: ArrayLike, modality: ArrayLike, reader: ArrayLike, case: ArrayLike, patient: ArrayLike | None
) -> tuple[list[Scored], tuple[str, ...], tuple[str, ...]]:
    """Samples by modality, then reader."""
    values, truth, names = np.asarray(scores).ravel(), np.asarray(positive).ravel(), np.asarray(case, dtype=str).ravel()
    tests, people = np.asarray(modality, dtype=str).ravel(), np.asarray(reader, dtype=str).ravel()
    owners = names if patient is None else np.asarray(patient, dtype=str).ravel()
    lengths = {len(column) for column in (values, truth, names, tests, people, owners)}
    if len(lengths) > 1 or lengths == {0}:
        msg = f"readings: found columns of {sorted(lengths)} rows, expected one length above 0"
        raise ValueError(msg)
    modalities, readers = tuple(dict.fromkeys(tests.tolist())), tuple(dict.fromkeys(people.tolist()))
    samples = []
    for test in modalities:
        for person in readers:
            rows = (tests == test) & (people == person)
            if not rows.any():
                msg = f"readings: found none of reader {person} in modality {test}, expected every reader in every modality"
                raise ValueError(msg)
            samples.append(Scored.of(values[rows], truth[rows], names[rows], owners[rows]))
    return samples, modalities, readers


def _counted(estimate: float, samples: list[Scored]) -> Interval:
    patients, cases = (len(set().union(*(getattr(sample, what).tolist() for sample in samples))) for what in ("patients", "cases"))
    return Interval(estimate, UNDEFINED, UNDEFINED, patients, cases)


def _effect(name: str, area: Interval, null: float, variance: float, df: float, level: float) -> Effect:
    from scipy import stats

    error, away = float(np.sqrt(_settled(variance, NO_VARIANCE))), area.estimate - null
    if error == 0:
        statistic, p = (0.0, 1.0) if abs(away) < np.sqrt(NO_SQUARE) else (float(np.copysign(np.inf, away)), UNDEFINED)
        return Effect(name, area, error, statistic, df, p)
    half, least = float(stats.t.ppf((1 + level) / 2, df)) * error, 0.0 if null else -1.0
    low, high = (UNDEFINED, UNDEFINED) if np.isnan(half) else (max(area.estimate - half, least), min(area.estimate + half, 1.0))
    interval = Interval(area.estimate, low, high, area.patients, area.cases)
    return Effect(name, interval, error, away / error, df, float(2 * stats.t.sf(abs(away / error), df)))


def _test(square: float, denominator: float, df1: int, df2: float) -> tuple[float, float]:
    from scipy import stats

    if df1 == 0 or not np.isfinite(denominator):
        return UNDEFINED, UNDEFINED
    if _settled(denominator, NO_VARIANCE) == 0:
        return (np.inf, UNDEFINED) if square > 0 else (0.0, 1.0)
    statistic = square / denominator
    return statistic, float(stats.f.sf(statistic, df1, df2) if np.isfinite(df2) else stats.chi2.sf(df1 * statistic, df1))


def _design(groups: list[list[Scored]]) -> tuple[str, list[str]]:
    """The design's name, and a note where readers of one modality have not all read the same."""
    held = [{frozenset(sample.cases.tolist()) for sample in group} for group in groups]
    owned = [frozenset().union(*(sample.patients.tolist() for sample in group)) for group in groups]
    uneven = ["readers of a modality read different cases: covariances are means over what they share"] if max(map(len, held)) > 1 else []
    if len(set().union(*held)) == 1:
        return "factorial", uneven
    nested = not any(first & second for first, second in combinations(owned, 2))
    return "cases nested in modality" if nested else "partially paired", uneven


def _notes(parts: Components, effects: list[Effect]) -> list[str]:
    """Why anything is NaN."""
    t, r = parts.areas.shape
    lacking, notes = int((~np.isfinite(parts.areas)).sum()), []
    if lacking:
        notes.append(f"{lacking} of {t * r} areas lack a positive or a negative case: nothing of their modality, no test")
    elif not np.isfinite(parts.covariance).all():
        notes.append("positive or negative cases of one patient alone: no covariance")
    if t == 1:
        notes.append("one modality: no comparison")
    if r == 1 and np.isnan(effects[0].error) and not lacking:
        notes.append("one reader tells of no population of readers: take readers as fixed")
    still = [effect.name for effect in effects if effect.error == 0]
    if still:
        notes.append(f"error 0 of {', '.join(still)}: no interval")
    return notes
