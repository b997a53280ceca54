"""Holds the wheel, and an environment made of it and the locked requirements, to their size limits.

    python .ci/sizes.py DIRECTORY_OF_THE_WHEEL

The environment is a new one, so this also shows that the wheel installs by itself and starts.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

WHEEL_MB_MAX = 15
ENVIRONMENT_MB_MAX = 120

MB = 1 << 20  # as `du -m` counts
INSTALLERS = ("pip", "setuptools", "pkg_resources", "_distutils_hack", "distutils-precedence.pth")


def disk_bytes(root: Path, *, without: tuple[str, ...] = ()) -> int:
    """Bytes on disk of every file below `root`, entries `without*` of site-packages left out."""
    total = 0
    for path in root.rglob("*"):
        _, _, package = path.as_posix().partition("/site-packages/")
        if path.is_symlink() or not path.is_file() or package.startswith(without or "\0"):
            continue
        total += path.stat().st_blocks * 512
    return total


def main(directory: str) -> int:
    (wheel,) = Path(directory).glob("outcrier-*.whl")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        venv.create(root, with_pip=True)
        pip = [str(root / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--no-deps", "--require-hashes", "-r", "requirements.lock"], check=True)
        subprocess.run([*pip, "--no-deps", str(wheel.resolve())], check=True)
        subprocess.run([root / "bin/outcrier", "--version"], check=True, cwd=root)
        # venv brings the installers; they are not ours to weigh.
        environment = disk_bytes(root, without=INSTALLERS)
    sizes = [("wheel", wheel.stat().st_size, WHEEL_MB_MAX), ("environment", environment, ENVIRONMENT_MB_MAX)]
    for name, size, limit in sizes:
        print(f"{name}: {size / MB:.1f} MB of at most {limit}")
    return int(any(size > limit * MB for _, size, limit in sizes))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
