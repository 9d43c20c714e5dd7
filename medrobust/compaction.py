"""rows.parquet: all rows of a run in one typed table, rebuilt whenever a cell has changed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from medrobust.digests import digest
from medrobust.errors import StoreError
from medrobust.files import replacing
from medrobust.store import FINISHED, MARKER
from medrobust.types import Row

if TYPE_CHECKING:
    from medrobust.store import CellFolder, Run, State

TYPES: dict[str, pa.DataType] = {
    **dict.fromkeys(Row.__annotations__, pa.string()),
    "seed": pa.int64(),
    "value": pa.float64(),
    "status": pa.string(),
    "cell": pa.string(),
}
SCHEMA = pa.schema(list(TYPES.items()))
KEY = b"medrobust.rows"


def finished(run: Run) -> list[tuple[CellFolder, State]]:
    """The cells that may be shown, in order."""
    states = [(folder, folder.state()) for folder in run.cells()]
    return [(folder, state) for folder, state in states if state.status in FINISHED]


def key(cells: list[tuple[CellFolder, State]]) -> bytes:
    """Changes whenever a finished cell does."""
    return digest([(folder.digest, state.status, state.rows_digest) for folder, state in cells]).encode()


def table(cells: list[tuple[CellFolder, State]]) -> pa.Table:
    """All rows with the status and digest of their cell; rows that are fewer than the cell counted are an error."""
    columns: dict[str, list[object]] = {name: [] for name in TYPES}
    for folder, state in cells:
        rows = folder.rows()
        if len(rows) != state.rows or sum(row["metric"] == MARKER for row in rows) != folder.cell.cases:
            expected = f"{state.rows} of {folder.cell.cases} cases"
            msg = f"{folder.cases_file}: found {len(rows)} rows, expected {expected}; delete the cell's folder and run again"
            raise StoreError(msg)
        for name in Row.__annotations__:
            columns[name] += [row[name] for row in rows]  # type: ignore[literal-required]
        columns["status"] += [state.status] * len(rows)
        columns["cell"] += [folder.digest] * len(rows)
    return pa.table(columns, schema=SCHEMA.with_metadata({KEY: key(cells)}))


def write(run: Run) -> Path:
    """rows.parquet of everything finished so far."""
    path = run.path / "rows.parquet"
    with replacing(path) as temporary:
        pq.write_table(table(finished(run)), temporary)
    return path


def rows(run: Run) -> pd.DataFrame:
    """The table, from rows.parquet where that is up to date and from the cells otherwise."""
    path = run.path / "rows.parquet"
    cells = finished(run)
    if path.exists():
        try:
            if (pq.read_schema(path).metadata or {}).get(KEY) == key(cells):
                return pd.DataFrame(pq.read_table(path).to_pandas())
        except (OSError, pa.ArrowInvalid):
            pass
    return pd.DataFrame(table(cells).to_pandas())
