"""Two samples brought to the cases that both have, in one order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medrobust.stats.bootstrap import Floats, Sample


def on_shared_cases(first: Sample, second: Sample) -> tuple[Sample, Sample]:
    """Both on the same n cases in the same order; what one of them alone has is left out.

    Named cases are the same where patient and name are. Without names a patient's cases are taken to be the same in both, in the order given;
    raises ValueError where a patient then has more of them in one sample, since nobody can say which ones the other lacks.
    """
    if first.cases is None or second.cases is None:
        return _by_order(first, second)
    if np.array_equal(first.cases, second.cases) and np.array_equal(first.patients, second.patients):
        return first, second
    _, one, other = np.intersect1d(_keys(first.patients, first.cases), _keys(second.patients, second.cases), return_indices=True)
    return _of(first, one), _of(second, other)


def _keys(patients: NDArray[np.str_], cases: NDArray[np.str_]) -> NDArray[np.str_]:
    """Patient and case in one name, each once."""
    keys: NDArray[np.str_] = np.char.add(np.char.add(patients, "\n"), cases)
    names, counts = np.unique(keys, return_counts=True)
    if (counts > 1).any():
        patient, case = str(names[counts > 1][0]).split("\n", 1)
        msg = f"pairing: found case {case} of patient {patient} {counts.max()} times, expected once"
        raise ValueError(msg)
    return keys


def patient_differences(first: Sample, second: Sample) -> Floats:
    """Mean over cases of `first` less `second` of each patient that has any in both, (patients,)."""
    one, other = on_shared_cases(first, second)
    names = np.unique(one.patients)
    return np.asarray((one.sums(names) - other.sums(names)) / one.sums(names, 0))


def _by_order(first: Sample, second: Sample) -> tuple[Sample, Sample]:
    """By patient, and within a patient in the order given."""
    names = np.intersect1d(first.patients, second.patients)
    more = np.flatnonzero(first.sums(names, 0) != second.sums(names, 0))
    if len(more):
        counts = [int(one.sums(names, 0)[more[0]]) for one in (first, second)]
        msg = f"pairing: found {counts[0]} and {counts[1]} cases of patient {names[more[0]]}, expected names of cases to pair them by"
        raise ValueError(msg)
    one, other = (_of(sample, np.argsort(sample.patients, kind="stable")) for sample in (first, second))
    return _of(one, np.flatnonzero(np.isin(one.patients, names))), _of(other, np.flatnonzero(np.isin(other.patients, names)))


def _of(sample: Sample, where: NDArray[np.intp]) -> Sample:
    return Sample(sample.values[where], sample.patients[where], None if sample.cases is None else sample.cases[where])
