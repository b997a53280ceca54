"""Where a record was made: revision, machine, load and versions."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
"""The repository."""

PACKAGES = (
    "ccxt",
    "crc32c",
    "cryptofeed",
    "hftbacktest",
    "msgspec",
    "nautilus-trader",
    "numba",
    "numpy",
    "order-book",
    "orjson",
    "picows",
    "pytest-benchmark",
    "pyzmq",
    "uvloop",
)
"""Python packages whose version a number may depend on."""


@dataclass(frozen=True)
class Load:
    """Load averages of 1, 5 and 15 minutes."""

    one: float
    five: float
    fifteen: float


def load_now() -> Load:
    return Load(*os.getloadavg())


def said_by(*command: str) -> str:
    """What a program says; empty if it is not there or fails."""
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return result.stdout.strip()


def revision() -> dict[str, Any]:
    """The commit, and whether files that belong to it were changed."""
    return {
        "commit": said_by("git", "rev-parse", "HEAD"),
        "is_changed": bool(said_by("git", "status", "--porcelain", "--untracked-files=no")),
    }


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor()


def _memory_mib() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20


def machine() -> dict[str, Any]:
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_mib": _memory_mib(),
        "kernel": platform.release(),
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", ""),
    }


def versions() -> dict[str, str]:
    """Interpreter, compilers, crates and packages."""
    crates = {
        package["name"]: package["version"]
        for package in tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    }
    found = {
        "python": platform.python_version(),
        "rustc": said_by("rustc", "--version").removeprefix("rustc "),
        "cc": said_by("cc", "--version").partition("\n")[0],
        "criterion": crates.get("criterion", ""),
        "outcrier": crates["outcrier-core"],
    }
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def load_values(load: Load) -> list[float]:
    return [round(value, 2) for value in asdict(load).values()]
