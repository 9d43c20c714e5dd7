"""How far a run is: bars on a terminal, one line a cell elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from medrobust.errors import StoreError
from medrobust.store import FINISHED, CellFolder

INTERVAL = 0.5
STYLES = {"done": "green", "invalid": "yellow", "failed": "red"}


class Display:
    """Shows cells and cases done, with the time left; `watch` is told of each cell that ends."""

    def __init__(self, folders: Sequence[CellFolder], console: Console) -> None:
        self.console = console
        self.left = {folder.digest: folder for folder in folders}
        self.total = len(folders)
        self.cases = 0
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        self.progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self.cell_bar: TaskID = self.progress.add_task("cells", total=self.total)
        self.case_bar: TaskID = self.progress.add_task("cases", total=sum(folder.cell.cases for folder in folders))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True, name="progress")

    def __enter__(self) -> Display:
        if self.console.is_terminal:
            self.progress.start()
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.console.is_terminal:
            self._stop.set()
            self._thread.join()
            self.progress.stop()

    def watch(self, folder: CellFolder, status: str) -> None:
        """One cell has ended."""
        self.left.pop(folder.digest, None)
        self.cases += folder.cell.cases
        ended = self.total - len(self.left)
        self.progress.update(self.cell_bar, completed=ended)
        self.progress.update(self.case_bar, completed=self.cases)
        state = folder.state()
        reason = f": {state.error}" if state.error else ""
        rest = f"{folder.cell.name} ({state.seconds:.1f} s){reason}"
        line = Text.assemble(f"[{ended}/{self.total}] ", (f"{status:8}", STYLES.get(status, "")), rest)
        self.console.print(line, soft_wrap=True)

    def _poll(self) -> None:
        while not self._stop.wait(INTERVAL):
            running = [folder for folder in list(self.left.values()) if any(folder.path.glob("claim-*"))]
            try:
                states = [folder.state() for folder in running]
            except StoreError:
                continue
            partial = sum(state.cases for state in states if state.status not in FINISHED)
            self.progress.update(self.case_bar, completed=self.cases + partial)
