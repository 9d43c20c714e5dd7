"""Everything made from the code or from committed rows: leaderboards, their index, docs/cli.md, docs/paper-*.md, tables in README.md and docs/."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from medrobust.leaderboard.evidence import Evidence
    from medrobust.leaderboard.page import Page

ROOT = Path(__file__).parents[1]
PAPERS = {
    "fnaf": ("leaderboards/recon-fnaf",),
    "mammo": ("leaderboards/mammo-tamper",),
    "roi": ("leaderboards/roi", "leaderboards/roi-grid"),
    "seg": ("leaderboards/seg-deform",),
}
BESIDE = "What the paper prints, beside what was measured here on other data: to be compared in shape, not in value. Rows:"
PLACED = re.compile(r"(<!-- tables of (\S+): begin -->\n).*?(<!-- tables of \2: end -->)", re.DOTALL)
CHECKS = re.compile(r"(<!-- checks: begin -->\n).*?(<!-- checks: end -->)", re.DOTALL)
BLOCK = re.compile(r"(<!-- tables: begin -->\n).*?(<!-- tables: end -->)", re.DOTALL)


def main() -> None:
    """Write every generated file, and say which."""
    os.chdir(ROOT)
    os.environ["COLUMNS"] = "80"  # help is wrapped alike on every terminal
    folders = sorted(path.parent for path in Path("leaderboards").glob("*/cells.json"))
    pages = [written(folder) for folder in folders]
    readme = Path("README.md")
    readme.write_text(BLOCK.sub(lambda found: found[1] + tables(folders) + found[2], readme.read_text(encoding="utf-8")), encoding="utf-8")
    reference = Path("docs/cli.md")
    reference.write_text(cli(), encoding="utf-8")
    for path in (*pages, index(folders), readme, reference, *papers(), *placed(), checks()):
        print(path)


@functools.cache
def judged(folder: Path) -> Evidence:
    """A committed leaderboard's rows and cells."""
    from medrobust.leaderboard.build import together

    return together([folder])


@functools.cache
def assembled(folder: Path) -> Page:
    """All that a committed leaderboard shows; made once, for the page, the index, README and docs."""
    from medrobust.leaderboard.page import page

    return page(judged(folder))


def written(folder: Path) -> Path:
    from medrobust.leaderboard.build import VALIDITY, write, write_verdicts

    write(assembled(folder), folder)
    write_verdicts(judged(folder), folder / VALIDITY)
    return folder / "index.html"


def index(folders: list[Path]) -> Path:
    """One page over all leaderboards, the one that bears its track's name before the others of that track."""
    from medrobust.leaderboard.render.index import index_entries, index_text

    path = Path("leaderboards/index.html")
    entries = [entry for folder in folders for entry in index_entries(title(folder.name).rstrip(":"), f"{folder.name}/index.html", assembled(folder))]
    path.write_text(index_text(entries), encoding="utf-8")
    return path


def tables(folders: list[Path]) -> str:
    """A line a leaderboard: what it asks, of what data, who stands first, and beside whom."""
    from medrobust.leaderboard.render.answer import answer
    from medrobust.leaderboard.render.markdown import escaped

    lines = ["| question | data | first tier | its first | beside it |", "|---|---|---|---|---|"]
    for folder in sorted(folders, key=lambda folder: (assembled(folder).overviews[0].track, len(folder.name))):
        for one in assembled(folder).overviews:
            found = answer(one)
            where = f"{escaped(found.where)}: " if found.where else ""
            leaders = f"{where}{', '.join(f'**{escaped(name)}**' for name in found.leaders)}" if found.leaders else "nobody"
            patients = f"{one.patients} {'patient' if one.patients == 1 else 'patients'}"
            asked = f"[{escaped(title(folder.name).rstrip(':'))}]({folder}/leaderboard.md)"
            cells = (asked, f"{escaped(one.data_label)}: {patients}", leaders, escaped(found.score), escaped(found.beside))
            lines.append(f"| {' | '.join(cells)} |")
    return "\n" + "\n".join(lines) + "\n\n"


def placed() -> list[Path]:
    """Pages under docs/ that ask for the chief tables of a leaderboard between two comments that name its folder."""
    from medrobust.cli.leaderboard import HEADLINES
    from medrobust.leaderboard.render.markdown import table_text

    def chief(folder: str) -> str:
        found = [table for chapter in assembled(Path(folder)).chapters for table in chapter.tables if table.name in HEADLINES]
        return "\n" + "\n\n".join(table_text(table).replace("### ", "#### ", 1) for table in found) + "\n\n"

    written = []
    for path in sorted(Path("docs").glob("*.md")):
        text = path.read_text(encoding="utf-8")
        if PLACED.search(text):
            path.write_text(PLACED.sub(lambda found: found[1] + chief(found[2]) + found[3], text), encoding="utf-8")
            written.append(path)
    return written


def checks() -> Path:
    """The table of validity checks, between two comments of docs/validity.md."""
    from medrobust.judge import described

    lines = ["| check | level | of a | what must hold | on |", "|---|---|---|---|---|"]
    lines += [f"| {one.id} | {one.level} | {one.scope} | {one.holds} | {one.on} |" for one in described()]
    path, table = Path("docs/validity.md"), "\n" + "\n".join(lines) + "\n\n"
    path.write_text(CHECKS.sub(lambda found: found[1] + table + found[2], path.read_text(encoding="utf-8")), encoding="utf-8")
    return path


def title(suite: str) -> str:
    """What the shipped spec of this name calls itself, as a sentence."""
    from importlib.resources import files

    words = str(yaml.safe_load((files("medrobust_benchmarks") / f"{suite}.yaml").read_text(encoding="utf-8"))["title"])
    return words if words.endswith("?") else f"{words}:"


def papers() -> list[Path]:
    """Each paper's tables beside those of the committed leaderboards of its track."""
    from medrobust.leaderboard.build import text
    from medrobust.leaderboard.evidence import joined
    from medrobust.leaderboard.page import paper_page
    from medrobust.leaderboard.sources import load

    written = []
    for paper, folders in PAPERS.items():
        found = [load(Path(folder)) for folder in folders if (Path(folder) / "cells.json").is_file()]
        if found:
            written.append(Path(f"docs/paper-{paper}.md"))
            body = text(paper_page(paper, joined(found)), "md").partition("\n")[2]
            rows = ", ".join(f"`{folder}`" for folder in folders)
            written[-1].write_text(f"# Beside {published(paper)}\n\n{BESIDE} {rows}.\n{body}", encoding="utf-8")
    return written


def published(paper: str) -> str:
    """Whose numbers ours stand beside."""
    from medrobust.leaderboard.printed import numbers

    return str(numbers(paper)["title"])


def cli() -> str:
    """The help of every command."""
    blocks = ["# The command line", "Made by `make docs` from each command's `--help`."]
    for words in commands():
        blocks.append(f"## medrobust {' '.join(words)}".rstrip())
        blocks.append(f"```text\n{spoken([*words, '--help'])}\n```")
    return "\n\n".join(blocks) + "\n"


def commands() -> Iterator[list[str]]:
    """The program itself, every verb, and every sub-verb of a group."""
    from medrobust.cli.app import VERBS, load

    yield []
    for name, verb in VERBS.items():
        yield [name]
        if verb.group:
            for command in load(name, verb).app.registered_commands:
                yield [name, command.name or command.callback.__name__.rstrip("_")]


def spoken(words: list[str]) -> str:
    """What a command prints."""
    from medrobust.cli.app import call

    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = call(words)
    if code:
        msg = f"medrobust {' '.join(words)} exits with {code}"
        raise SystemExit(msg)
    return "\n".join(line.rstrip() for line in out.getvalue().strip().splitlines())


if __name__ == "__main__":
    main()
