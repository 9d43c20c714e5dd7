"""The headline: how well readers tell cancerous from healthy images, before and after tampering."""

from __future__ import annotations

from medrobust.leaderboard.mammo_tamper.areas import absent, area, complement, difference, succeeded
from medrobust.leaderboard.mammo_tamper.multireader import Together, all_readers
from medrobust.leaderboard.mammo_tamper.once import once
from medrobust.leaderboard.mammo_tamper.readings import readers as who
from medrobust.leaderboard.mammo_tamper.readings import readings
from medrobust.leaderboard.mammo_tamper.rule import AREAS, HEADS, P, attacked, one_way
from medrobust.leaderboard.section import Model, Section
from medrobust.leaderboard.tables import Column, Entry, Line, Table

COLUMNS = (
    Column("originals", digits=3),
    Column("modified, original truth", digits=3),
    Column("modified, intended truth", digits=3),
    Column("originals less modified", digits=3),
    P,
)
EVERYONE = "all readers"


def readers(section: Section) -> list[Table]:
    """One line a reader and attack, and one of all readers below each attack's."""
    found: list[Line] = []
    for condition in section.conditions:
        for attack in attacked(section):
            able = [model for model in who(section) if section.cells(model, attack, condition)]
            found += [Line((condition, str(model), attack), row(section, model, attack, condition)) for model in able]
            mean = all_readers(section, attack, condition) if able else None
            if mean is not None:
                found.append(Line((condition, EVERYONE, attack), together_row(mean, attack)))
    if not found:
        return []
    caption = (
        "Area under the ROC curve (AUC) of telling cancerous from healthy images: 1 is without error, .5 is guessing. Originals: untouched test "
        "images. Modified: the same images after the attack has put malignant features into the healthy ones and taken them out of the cancerous "
        "ones. Original truth: an image counts as what it was before; below .5 the attack has turned the reader round and has succeeded, in bold "
        "where the whole interval lies there and that of originals above. Intended truth: an image counts as what the attack meant it to be, the "
        "opposite; for the same scores it is exactly 1 less the other, and is shown because papers use either. Originals less modified: by the "
        "original truth, with its interval and p from DeLong's test for the same images, patients as clusters (p of 0.0000 is below 0.00005). All "
        f"readers: mean over readers by Obuchowski and Rockette, readers and images both as drawn at random. {AREAS}"
    )
    return [Table("readers", "Readers before and after tampering", caption, section.data_label, HEADS, COLUMNS, tuple(found), 1)]


@once
def row(section: Section, model: Model, attack: str, condition: str) -> tuple[Entry, ...]:
    """One reader under one attack."""
    clean, modified = (readings(section, model, name, condition) for name in ("none", attack))
    before = area(clean)
    after = succeeded(area(modified), before)
    return before, after, intended(after, attack), *difference(clean, modified)


def together_row(mean: Together, attack: str) -> tuple[Entry, ...]:
    """All readers under one attack."""
    after = succeeded(mean.modified, mean.originals)
    return mean.originals, after, intended(after, attack), mean.difference, mean.p


def intended(after: Entry, attack: str) -> Entry:
    """The area by what the attack meant the images to be; an attack that means all of them to be one thing has none."""
    return absent("one class") if one_way(attack) else complement(after)
