"""What a number was computed with: packages, revision, processor, threads, memory."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("medrobust", "torch", "numpy", "scipy", "scikit-image", "monai", "h5py", "ptwt")


def packages() -> dict[str, str]:
    """Installed versions of everything that enters a number."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def revision() -> str:
    """The git revision of the source tree, with `-dirty` where it was changed; empty outside one."""
    here = str(Path(__file__).resolve().parent)
    try:
        command = ["git", "-C", here, "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def processor() -> str:
    """The CPU's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor() or platform.machine())


def peak_memory(device: str) -> dict[str, int]:
    """Peak memory of this process and of its GPU so far, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    peak = {"process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}
    return peak | {"gpu": torch.cuda.max_memory_allocated(device)} if torch.device(device).type == "cuda" else peak


def describe(device: str) -> dict[str, Any]:
    """Everything above, for env.json."""
    gpu = torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else ""
    return {
        "packages": packages(),
        "revision": revision(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": device,
        "gpu": gpu,
        "peak memory in bytes": peak_memory(device),
    }
