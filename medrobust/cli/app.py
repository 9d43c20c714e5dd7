"""The command line: a table of verbs, each imported only when it is called."""

from __future__ import annotations

import importlib
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from medrobust.errors import USAGE, MedrobustError
from medrobust.interrupts import insist

DEBUG = "--debug"
INTERRUPTED = 130


@dataclass(frozen=True)
class Verb:
    """One line of `medrobust --help`.

    module: has a function `command`, or where `group` is true a Typer object `app` of sub-verbs.
    """

    module: str
    help: str
    group: bool = False


VERBS = {
    "run": Verb("medrobust.cli.run", "Compute a spec's grid; the same command again resumes it."),
    "plan": Verb("medrobust.cli.plan", "Show what a spec would compute, and what it costs."),
    "validate": Verb("medrobust.cli.validate", "Check a spec: every field, name and option."),
    "status": Verb("medrobust.cli.status", "Show how far a run is."),
    "show": Verb("medrobust.cli.show", "Show a cell of a run: identity, cost, validity, values."),
    "verify": Verb("medrobust.cli.verify", "Check a run's digests and counts, and compute a sample again."),
    "compare": Verb("medrobust.cli.compare", "Compare two runs case by case, and say what moved a rank."),
    "merge": Verb("medrobust.cli.merge", "Join the shards of a run."),
    "leaderboard": Verb("medrobust.cli.leaderboard", "Turn runs into tables and one page."),
    "report": Verb("medrobust.cli.report", "Write one model's page: what it is, how it fails, how sure we are, what was not tested."),
    "export": Verb("medrobust.cli.export", "Write csv, parquet, LaTeX, challengeR's csv or Every Eval Ever's json."),
    "paper": Verb("medrobust.cli.paper", "Print a paper's table beside ours."),
    "train": Verb("medrobust.cli.train", "Train a shipped model again."),
    "images": Verb("medrobust.cli.images", "Write a run's attacked images as files that say so."),
    "reader-study": Verb("medrobust.cli.reader_study", "Make a blinded reader study, and score what comes back.", group=True),
    "data": Verb("medrobust.cli.data", "Make, check and split data sets.", group=True),
    "plugin": Verb("medrobust.cli.plugin", "Start, check and list plugins.", group=True),
    "list": Verb("medrobust.cli.list", "List what is registered."),
    "info": Verb("medrobust.cli.info", "Show a plugin, zoo model or spec."),
    "doctor": Verb("medrobust.cli.doctor", "Check this machine and every plugin."),
}

HELP = """Robustness benchmarks for medical imaging.

Exit codes: 0 ok, 1 usage, 2 cells failed, 3 validity gate. --debug shows the traceback of an error."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit; an error is one line on standard error."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = DEBUG in given
    insist(signal.SIGINT, KeyboardInterrupt)
    sys.exit(call([argument for argument in given if argument != DEBUG], debug=debug))


def call(arguments: Sequence[str], *, debug: bool = False) -> int:
    """The exit code of one command."""
    verb = next((argument for argument in arguments if not argument.startswith("-")), "")
    try:
        return int(application(verb)(list(arguments) or ["--help"], prog_name="medrobust", standalone_mode=False) or 0)
    except typer.Exit as ended:
        return ended.exit_code
    except (KeyboardInterrupt, typer.Abort):
        complain("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        return 0
    except Exception as error:  # the one place where errors become lines
        if debug:
            raise
        return explain(error)


def explain(error: Exception) -> int:
    """Print an error as a user reads it; the exit code it stands for."""
    if isinstance(error, MedrobustError):
        for line in str(error).splitlines():
            complain(line)
        return error.exit_code
    usage = usage_message(error)
    if type(error).__name__ == "NoArgsIsHelpError":
        typer.echo(error)
        return USAGE
    complain(usage or f"{type(error).__name__}: {' '.join(str(error).split())}; a defect of medrobust or of a plugin, --debug shows where")
    return USAGE


def usage_message(error: Exception) -> str:
    """What a mistake on the command line says; empty for any other error."""
    kinds = {"UsageError", "ClickException"} & {kind.__name__ for kind in type(error).__mro__}
    return f"{error.format_message()} (try --help)" if kinds else ""  # type: ignore[attr-defined]


def complain(line: str) -> None:
    print(f"error: {line}", file=sys.stderr)  # noqa: T201 - the command line's own output


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"medrobust {version('medrobust')}")
        raise typer.Exit


def application(called: str) -> typer.Typer:
    """All verbs; the called one is imported, the others are their line of help."""
    app = typer.Typer(help=HELP, no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.callback()(_options)
    for name, verb in VERBS.items():
        module = load(name, verb) if name == called else None
        if verb.group:
            app.add_typer(module.app if module else typer.Typer(), name=name, help=verb.help, short_help=verb.help)
        else:
            app.command(name, short_help=verb.help)(module.command if module else _line_of_help)
    return app


def load(name: str, verb: Verb) -> Any:
    """The verb's module; one that is not part of this installation is one line."""
    try:
        return importlib.import_module(verb.module)
    except ModuleNotFoundError as error:
        if error.name == verb.module:
            msg = f"{name}: this installation has no {verb.module}"
        else:
            msg = f"{name}: needs the package '{error.name}', which is not installed"
        raise MedrobustError(msg) from error


def _options(
    version: Annotated[bool, typer.Option("--version", is_eager=True, callback=_version, help="Show the version and exit.")] = False,
) -> None:
    """What stands before the verb."""


def _line_of_help() -> None:
    """Stands for a verb that was not called."""
