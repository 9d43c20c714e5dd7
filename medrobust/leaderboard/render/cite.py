"""How to cite an overview: what it is, what it was measured with, and the digest of its evidence."""

from __future__ import annotations

import hashlib
import re

from medrobust.leaderboard.overview.standing import Overview
from medrobust.leaderboard.page import Page
from medrobust.leaderboard.render.latex import escaped


def citation(page: Page, overview: Overview) -> str:
    """A BibTeX entry; the digest is of the digests of all cells, so equal evidence cites alike."""
    digest = hashlib.sha256("\n".join(sorted(digest for digest, _ in page.digests)).encode()).hexdigest()[:16]
    versions = dict.fromkeys(value for one in page.environments for name, value in one if name == "medrobust")
    key = re.sub(r"[^a-z0-9]+", "-", f"medrobust-{overview.track}".lower())[:60].strip("-")
    size = f"{overview.patients} patients, {overview.cases} cases, {len(overview.standings)} entries"
    fields = {
        "title": f"{{medrobust leaderboard: {escaped(page.suite)} on {escaped(overview.data_label)}}}",
        "howpublished": "{" + ", ".join(["medrobust", *(escaped(version) for version in versions)]) + "}",
        "note": f"{{{size}; {escaped(overview.headline.name)}; evidence {digest}}}",
    }
    return f"@misc{{{key}-{digest},\n" + ",\n".join(f"  {name} = {value}" for name, value in fields.items()) + "\n}"
