"""Errors a user can act on: one line that says where, what was found and what would be right."""

from __future__ import annotations

USAGE = 1
CELLS_FAILED = 2
VALIDITY = 3


class MedrobustError(Exception):
    """Base of every error that the command line prints as one line; `exit_code` is the process's exit status."""

    exit_code = USAGE


class SpecError(MedrobustError):
    """A spec, plugin name or option that cannot be used."""


class DataError(MedrobustError):
    """A data file that cannot be read as what it claims to be."""


class WeightsError(MedrobustError):
    """A weight file that is missing, unreadable or not the one its card names."""


class StoreError(MedrobustError):
    """A run directory that cannot be read or written."""


class CellError(MedrobustError):
    """A cell that could not be computed."""

    exit_code = CELLS_FAILED


class WorkerDiedError(CellError):
    """A cell whose worker died again and again."""


class ExecutorError(CellError):
    """An executor that cannot go on; what is on disk stays."""
