"""Exclusive claims with a heartbeat, so that workers may share a run directory and a dead one's work is taken over.

The claim of generation g is a file that only one worker can create; the highest generation holds. Taking over a stale
claim is creating the next generation, which again only one worker can do; who lost a claim finds a higher generation.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from pathlib import Path
from types import TracebackType

from medrobust.errors import CellError
from medrobust.files import store_errors

STALE = 120.0


class ClaimLostError(CellError):
    """Another worker took the cell over."""


def generations(folder: Path) -> list[Path]:
    """The claim files of a folder, oldest first."""
    return sorted(folder.glob("claim-*"))


def holder(path: Path) -> dict[str, object]:
    """Who wrote a claim; empty while it is being written or once it is gone."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not is_zombie(pid)


def is_zombie(pid: int) -> bool:
    """True for a dead process that its parent has not taken note of, where the system says so."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z"
    except (OSError, IndexError):
        return False


def is_stale(path: Path, stale: float) -> bool:
    """True where the heartbeat stopped `stale` seconds ago, or the process died on this host."""
    who = holder(path)
    if who.get("host") == socket.gethostname() and isinstance(who.get("pid"), int) and not alive(int(str(who["pid"]))):
        return True
    try:
        return time.time() - path.stat().st_mtime > stale
    except FileNotFoundError:
        return True


def is_held(folder: Path, stale: float = STALE) -> bool:
    """True while some live worker holds the folder."""
    paths = generations(folder)
    return bool(paths) and not is_stale(paths[-1], stale)


def acquire(folder: Path, stale: float = STALE) -> Claim | None:
    """The folder's claim, or None while another live worker holds it."""
    paths = generations(folder)
    if paths and not is_stale(paths[-1], stale):
        return None
    generation = int(paths[-1].name.removeprefix("claim-")) + 1 if paths else 1
    path = folder / f"claim-{generation:06d}"
    with store_errors(path):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            return None
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            json.dump({"host": socket.gethostname(), "pid": os.getpid(), "since": time.time()}, stream)
    return Claim(path, stale)


class Claim:
    """A held claim; a thread keeps its heartbeat until the block ends."""

    def __init__(self, path: Path, stale: float) -> None:
        self.path = path
        self.stale = stale
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True, name=f"heartbeat {path}")

    def _beat(self) -> None:
        while not self._stop.wait(self.stale / 6):
            try:
                os.utime(self.path)
            except OSError:
                return

    def __enter__(self) -> Claim:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        for path in generations(self.path.parent):
            if path.name <= self.path.name:
                path.unlink(missing_ok=True)

    def check(self) -> None:
        """Raise CellError where another worker took the claim over."""
        paths = generations(self.path.parent)
        if not paths or paths[-1] != self.path:
            msg = f"{self.path.parent}: another worker took this cell over; heartbeat stopped for more than {self.stale:g} s"
            raise ClaimLostError(msg)
