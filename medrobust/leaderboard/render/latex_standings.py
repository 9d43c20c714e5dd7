"""The standings as a LaTeX table, one line an entrant, columns as on the page."""

from __future__ import annotations

from medrobust.leaderboard.render.latex import escaped, signed
from medrobust.leaderboard.render.standings import Cell, Row, View


def standings_latex(view: View) -> str:
    r"""A booktabs table. The page cuts it by lines and by ` & `, which no escaped name contains."""
    one = view.overview
    names = ["condition", *(escaped(head.name + (f" ({head.unit})" if head.unit else "")) for head in view.heads if head.kind != "cases")]
    layout = "l" + "".join("l" if head.kind in ("entrant", "validity") else "r" for head in view.heads if head.kind != "cases")
    caption = f"{escaped(one.track)}: {escaped(one.headline.name)}. Data: {escaped(one.data_label)}, {one.patients} patients, {one.cases} cases."
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{caption} Nobody in a tier is measurably worse than its first. {_worst(view)}Brackets: 95\,\% intervals.}}",
            r"\resizebox{\textwidth}{!}{%",
            rf"\begin{{tabular}}{{{layout}}}",
            r"\toprule",
            " & ".join(names) + r" \\",
            r"\midrule",
            *(" & ".join([escaped(row.standing.condition), *_cells(view, row)]) + r" \\" for row in view.rows),
            r"\bottomrule",
            r"\end{tabular}}",
            r"\end{table}",
        ]
    )


def _worst(view: View) -> str:
    """What the worst case is over, a condition at a time."""
    if not view.overview.attacks or not any(attacks for _, attacks in view.overview.compared):
        return ""
    parts = [f"{', '.join(attacks)}{f' ({condition})' if condition else ''}" for condition, attacks in view.overview.compared if attacks]
    return f"Worst case of each case over the attacks that all share: {escaped('; '.join(parts))}. "


def _cells(view: View, row: Row) -> list[str]:
    return [_text(cell) for head, cell in zip(view.heads, row.cells, strict=True) if head.kind != "cases"]


def _text(cell: Cell) -> str:
    text = escaped(signed(cell.text).replace("\N{NARROW NO-BREAK SPACE}", " "))
    beside = f" {{\\scriptsize {escaped(signed(cell.beside))}}}" if cell.beside else ""
    if cell.state == "invalid":
        return rf"\textit{{{text}{beside} invalid}}"
    return rf"\textbf{{{text}}}{beside}" if cell.state == "best" else text + beside
