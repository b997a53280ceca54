"""Figures of the rows of docs/reliability.md: counted or timed in a run, and written down."""

from __future__ import annotations

import json
import os
import platform
import tempfile
from pathlib import Path
from typing import Any


def record_path() -> Path:
    """$OUTCRIER_NET_RECORD, else a file in the folder for temporary files."""
    given = os.environ.get("OUTCRIER_NET_RECORD")
    return Path(given) if given else Path(tempfile.gettempdir()) / "outcrier_net_record.json"


def record(row: str, **figures: Any) -> None:
    """Adds the figures of a row; those of an earlier run of it are replaced."""
    path = record_path()
    known: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    known["machine"] = {
        "kernel": platform.release(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }
    known.setdefault("rows", {})[row] = figures
    path.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")
