"""Image quality on clean images, per volume, as fastMRI evaluates it."""

from __future__ import annotations

from medrobust.leaderboard.layout import MODEL_HEADS, any_number, by_model, lines
from medrobust.leaderboard.measure import Quantity
from medrobust.leaderboard.recon_fnaf.rule import BOLD, INTERVALS
from medrobust.leaderboard.section import Section
from medrobust.leaderboard.tables import Column, Table

COLUMNS = (
    Column("SSIM", digits=4, better=True),
    Column("NMSE", digits=5, better=False),
    Column("PSNR", unit="dB", shown="dB", digits=2, better=True),
)


def clean(section: Section) -> list[Table]:
    """SSIM, NMSE and PSNR of every model and condition, mean over volumes."""
    found = lines(by_model(section, "none", [Quantity("ssim"), Quantity("nmse"), Quantity("psnr")]), COLUMNS, 1)
    caption = f"Mean over volumes of clean images. SSIM and PSNR: higher is better; NMSE: lower is better. {INTERVALS} {BOLD}"
    return [Table("clean", "Clean image quality", caption, section.data_label, MODEL_HEADS, COLUMNS, found)] if any_number(found) else []
