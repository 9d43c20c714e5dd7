"""Signals that end a program, seen through to the end."""

from __future__ import annotations

import signal
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

AGAIN = 0.02
"""Seconds until a signal is sent again."""


def insist(number: int, kind: type[BaseException]) -> None:
    """Have signal `number`, which raises `kind` in the main thread, end what it is to end.

    Where it arrives in the callback of a weak reference, or wherever else no exception can leave, Python prints the exception and goes on: here
    the signal is sent to the main thread again, and nothing is printed.
    """
    before = sys.unraisablehook

    def lost(what: UnraisableHookArgs, /) -> None:
        main = threading.main_thread().ident
        if what.exc_type is not kind or main is None:
            before(what)
            return
        again = threading.Timer(AGAIN, signal.pthread_kill, (main, number))
        again.daemon = True
        again.start()

    sys.unraisablehook = lost
