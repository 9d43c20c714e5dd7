"""A signal that arrives where no exception can leave still ends the program, and nothing is printed."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import signal, sys, time, weakref
{prepared}
class Thing: pass
def gone(_):
    signal.raise_signal(signal.{name})
    for _ in range(1000): pass
thing = Thing()
held = weakref.ref(thing, gone)
del thing
print("went on", flush=True)
time.sleep({patience})
print("never ended")
"""
INTERRUPT = "from medrobust.interrupts import insist; insist(signal.SIGINT, KeyboardInterrupt)"
PREPARED = {
    "SIGTERM": "from medrobust.executors.pool import begin; begin()",
    "SIGINT": f"{INTERRUPT}; sys.excepthook = lambda *_: print('interrupted', file=sys.stderr)",
}


def ran(name: str, prepared: str, patience: float) -> subprocess.CompletedProcess[str]:
    program = PROGRAM.format(name=name, prepared=prepared, patience=patience)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize(("name", "codes", "said"), [("SIGTERM", (143,), ""), ("SIGINT", (130, -2, 1), "interrupted\n")])
def test_a_signal_in_a_weak_references_callback_ends_the_program(name: str, codes: tuple[int, ...], said: str) -> None:
    found = ran(name, PREPARED[name], 60)
    assert (found.stdout, found.stderr) == ("went on\n", said), "the callback let it go on, and what came after ended it"
    assert found.returncode in codes


def test_python_alone_loses_such_a_signal() -> None:
    """What the module is for: should Python change this, it can go."""
    found = ran("SIGINT", "", 0)
    assert found.returncode == 0
    assert "never ended" in found.stdout
    assert "Exception ignored" in found.stderr


def test_what_is_lost_for_another_reason_is_still_told() -> None:
    program = f"import signal, weakref\n{INTERRUPT}\nclass Thing: pass\nthing = Thing()\nheld = weakref.ref(thing, lambda _: 1 / 0)\ndel thing"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert found.returncode == 0
    assert "ZeroDivisionError" in found.stderr
