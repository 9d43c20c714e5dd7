"""`medrobust doctor`: whether this machine is ready and every plugin whole."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer

from medrobust import registry
from medrobust.cli import catalog, health
from medrobust.cli.output import show
from medrobust.data.cache import user_cache

PACKAGES = ("medrobust", "torch", "numpy", "monai", "h5py", "scikit-image", "pandas", "pyarrow", "pydantic", "typer", "distributed")
SPARE = 2 * 1024**3
"""Bytes that the embedded data and a full run need together, with room to spare."""


def command(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Report versions, devices, the cache folder, disk space and every broken plugin; exit 1 where something is wrong."""
    rows = [*versions(), *devices(), *places(), *plugins()]
    show(rows, as_json=as_json, title="medrobust doctor")
    if any(row["state"] == "wrong" for row in rows):
        raise typer.Exit(1)


def row(check: str, found: str, state: str = "fine") -> dict[str, str]:
    return {"check": check, "found": found, "state": state}


def versions() -> list[dict[str, str]]:
    rows = [row("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")]
    for package in PACKAGES:
        try:
            rows.append(row(package, version(package)))
        except PackageNotFoundError:
            optional = package == "distributed"
            rows.append(row(package, "not installed" + (" (optional: medrobust[cluster])" if optional else ""), "fine" if optional else "wrong"))
    return rows


def devices() -> list[dict[str, str]]:
    import torch

    threads = f"{torch.get_num_threads()} of {os.cpu_count()} cores"
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none: runs use the CPU"
    return [row("torch threads", threads), row("GPU", gpu)]


def places() -> list[dict[str, str]]:
    """The cache folder and the working directory: writable, how full, how much room."""
    cache = user_cache()
    size = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file()) if cache.is_dir() else 0
    return [
        row("cache", f"{cache}: {size / 1e6:.0f} MB", "fine" if writable(cache) else "wrong"),
        room("cache disk", cache),
        row("working directory", str(Path.cwd()), "fine" if writable(Path.cwd()) else "wrong"),
        room("working disk", Path.cwd()),
    ]


def writable(folder: Path) -> bool:
    """Whether a file can be made there, or in the nearest folder above that exists."""
    try:
        with tempfile.TemporaryFile(dir=standing(folder)):
            return True
    except OSError:
        return False


def room(check: str, folder: Path) -> dict[str, str]:
    free = shutil.disk_usage(standing(folder)).free
    return row(check, f"{free / 1e9:.1f} GB free", "fine" if free > SPARE else "wrong")


def standing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(each for each in (folder, *folder.parents) if each.is_dir())


def plugins() -> list[dict[str, str]]:
    """One row a kind with its count, and one a broken plugin with its error."""
    rows = [row(kind, f"{len(catalog.entries(kind))} registered") for kind in registry.KINDS]
    faults = [(f"{kind}: {point.name} of {catalog.owner(point)}", health.fault(kind, point)) for kind, point in health.points()]
    return rows + [row(which, fault, "wrong") for which, fault in faults if fault]
