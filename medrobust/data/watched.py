"""A data set that notes whose cases are read, so that what was learnt from is known and not only declared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medrobust.types import Batch, Case, Data


@dataclass(frozen=True, eq=False)
class Watched:
    """The data set itself in all else.

    read: patients of the cases that were loaded.
    """

    inner: Data
    read: set[str] = field(default_factory=set)

    def load(self, cases: Sequence[Case]) -> Batch:
        """The named cases, noted."""
        self.read.update(case.patient for case in cases)
        return self.inner.load(cases)

    def __getattr__(self, name: str) -> Any:
        """What is not found here is the data set's own."""
        return getattr(self.inner, name)
