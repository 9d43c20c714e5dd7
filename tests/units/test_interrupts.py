"""A signal that arrives where no exception can leave still ends the program, and nothing is printed."""

from __future__ import annotations

import subprocess
import sys
import textwrap

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
BEGIN = "from medrobust.executors.pool import begin; begin()"
INSIST = "from medrobust.interrupts import insist; insist(signal.SIGINT, KeyboardInterrupt)"
COMMAND = "from medrobust.cli import app; app.application = lambda verb: lambda *a, **b: command(); app.main(['run'])"


def ran(name: str, prepared: str, patience: float) -> subprocess.CompletedProcess[str]:
    return run(PROGRAM.format(name=name, prepared=prepared, patience=patience))


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)


def test_a_worker_ends_on_a_signal_in_a_weak_references_callback() -> None:
    found = ran("SIGTERM", BEGIN, 60)
    assert (found.returncode, found.stdout, found.stderr) == (143, "went on\n", ""), "the callback let it go on, and what came after ended it"


def test_a_command_ends_on_ctrl_c_in_a_weak_references_callback() -> None:
    body = textwrap.indent(PROGRAM.format(name="SIGINT", prepared="", patience=60), "    ")
    found = run(f"def command():\n{body}\n{COMMAND}")
    assert (found.returncode, found.stdout, found.stderr) == (130, "went on\n", "error: interrupted\n")


def test_python_alone_loses_such_a_signal() -> None:
    """What the module is for: should Python change this, it can go."""
    found = ran("SIGINT", "", 0)
    assert found.returncode == 0
    assert "never ended" in found.stdout
    assert "Exception ignored" in found.stderr


def test_what_is_lost_for_another_reason_is_still_told() -> None:
    program = f"import signal, weakref\n{INSIST}\nclass Thing: pass\nthing = Thing()\nheld = weakref.ref(thing, lambda _: 1 / 0)\ndel thing"
    found = run(program)
    assert found.returncode == 0
    assert "ZeroDivisionError" in found.stderr
