"""docs/reliability.md: what it calls a proof is a test, and each test of tests/net is one of them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TABLE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")


def names_in(folder: Path) -> set[str]:
    return {
        f"{path.name}::{name}"
        for path in folder.glob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }


def test_the_proofs_are_the_names_in_the_namespaces() -> None:
    named = set(re.findall(r"`(test_\w+\.py::test_\w+)`", TABLE))
    assert named == names_in(ROOT / "tests" / "net")


def test_every_row_of_the_network_has_a_proof() -> None:
    rows = {int(number) for number in re.findall(r"^\| (\d+) \|", TABLE, re.MULTILINE)}
    assert rows == set(range(1, 14))


def test_other_files_named_are_there() -> None:
    for path in re.findall(r"`(rust_core/[\w/.]+)`", TABLE):
        assert (ROOT / path).is_file(), path
