"""Tables for a paper: booktabs, every name escaped."""

from __future__ import annotations

import re

from medrobust.leaderboard.overview.as_table import as_table
from medrobust.leaderboard.page import Page
from medrobust.leaderboard.tables import Column, Entry, Line, Table
from medrobust.leaderboard.text import counts, head, marks, notes, state, visible, whole

SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "[": "{[}",
    "\N{MINUS SIGN}": "$-$",
    "≥": r"$\geq$",
    "∞": r"$\infty$",
    "\N{GREEK SMALL LETTER SIGMA}": r"$\sigma$",
    "²": r"$^2$",
    "⁻³": r"$^{-3}$",
    "⁻⁴": r"$^{-4}$",
}


def latex_text(page: Page) -> str:
    r"""One `table` environment a table; needs the packages booktabs, graphicx and (T1) fontenc."""
    tables = [table_text(as_table(overview)) for overview in page.overviews]
    tables += [table_text(table) for chapter in page.chapters for table in chapter.tables]
    return "\n\n".join([f"% {visible(page.suite)}: needs \\usepackage{{booktabs,graphicx}} and \\usepackage[T1]{{fontenc}}", *tables]) + "\n"


def table_text(table: Table) -> str:
    known = notes(table)
    heads = [*map(escaped, table.heads), *(escaped(head(column)) for column in table.columns), "cases / patients", "validity"]
    layout = "l" * len(table.heads) + "r" * (len(table.columns) + 1) + "l"
    rows = [" & ".join(_cells(line, table.columns, known)) + r" \\" for line in table.lines]
    caption = f"{escaped(table.title)}. Data: {escaped(table.data)}. {escaped(table.caption)}"
    under = [rf"\par\footnotesize {i}: {escaped(note)}" for i, note in enumerate(known, 1)]
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{caption}}}",
            rf"\label{{tab:{table.name}}}",
            r"\resizebox{\textwidth}{!}{%",
            rf"\begin{{tabular}}{{{layout}}}",
            r"\toprule",
            " & ".join(heads) + r" \\",
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}}",
            *under,
            r"\end{table}",
        ]
    )


def _cells(line: Line, columns: tuple[Column, ...], known: tuple[str, ...]) -> list[str]:
    numbers = [_number(entry, column, known) for entry, column in zip(line.entries, columns, strict=True)]
    return [*map(escaped, line.labels), *numbers, counts(line), state(line, known)]


def _number(entry: Entry, column: Column, known: tuple[str, ...]) -> str:
    text, noted = escaped(signed(whole(entry, column))), marks(entry.validity, known)
    if entry.validity.level == "invalid":
        return rf"\textit{{{text} invalid}}$^{{{noted}}}$"
    return (rf"\textbf{{{text}}}" if entry.best else text) + (f"$^{{{noted}}}$" if noted else "")


def signed(text: str) -> str:
    """A number with a minus sign for a hyphen before it."""
    return re.sub(r"(?<![\w.])-(?=[\d.∞])", "\N{MINUS SIGN}", text)


def escaped(text: str) -> str:
    """Text that LaTeX prints as it is; what plain LaTeX has no letter for becomes its code point."""
    text = visible(text)
    for power in ("⁻³", "⁻⁴"):
        text = text.replace(power, {"⁻³": "\x01", "⁻⁴": "\x02"}[power])
    inner = {**SPECIAL, "\x01": SPECIAL["⁻³"], "\x02": SPECIAL["⁻⁴"]}
    return "".join(inner.get(c) or (c if ord(c) < 0x250 else f"U+{ord(c):04X}") for c in text)
