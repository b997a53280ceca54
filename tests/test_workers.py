"""How tests are shared among processes."""

from __future__ import annotations

import socket

import pytest

import workers
from conftest import ROOT
from workers import FIRST, PORTS, TOGETHER, free_port, ports_of, unit_of

pytest_plugins = ["pytester"]


def test_what_begins_and_what_stays_together_is_there() -> None:
    for unit in (*FIRST, *TOGETHER):
        path = ROOT / unit
        assert path.is_dir() if unit.endswith("/") else path.is_file(), unit
    assert len(set(FIRST)) == len(FIRST)
    assert [unit_of(f"{unit}test_a.py::test_b[c::d]") for unit in TOGETHER] == [*TOGETHER]
    assert unit_of("tests/soak/test_soak.py::test_a[b::c]") == "tests/soak/test_soak.py"


@pytest.mark.parametrize("workers", [1, 2, 3, 16])
def test_every_port_belongs_to_one_worker(workers: int) -> None:
    shares = [set(ports_of(number, workers)) for number in range(workers)]
    assert sum(map(len, shares)) == len(set().union(*shares)) == len(PORTS)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_a_port_in_use_is_not_chosen(kind: socket.SocketKind, monkeypatch: pytest.MonkeyPatch) -> None:
    first = free_port(kind)
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", first))
        second = free_port(kind)
        assert second != first
        monkeypatch.setattr(workers, "ports_of", lambda *_: [first] * 20 + [second])
        assert {free_port(kind) for _ in range(5)} == {second}


WHO = """
import os, pathlib
import pytest

@pytest.mark.parametrize("number", range(4))
def test_tells(number, worker_id):
    with pathlib.Path(os.environ["TOLD"]).open("a") as file:
        file.write(f"{worker_id} {pathlib.Path(__file__).parent.name} {pathlib.Path(__file__).name}\\n")
"""


def test_a_worker_has_whole_files_and_folders(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = pytester.path / "told"
    monkeypatch.setenv("TOLD", str(told))
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))
    pytester.makeini("[pytest]")
    pytester.makeconftest((ROOT / "tests/conftest.py").read_text())
    for name in ("net/test_a", "net/test_b", "test_cli", "test_other", "test_more"):
        path = pytester.path / "tests" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(WHO)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "--import-mode=importlib", "-n", "2")
    result.assert_outcomes(passed=20)
    lines = [line.split() for line in told.read_text().splitlines()]
    by_unit = {
        unit: {who for who, *rest in lines if unit in rest} for unit in {rest[-1] for _, *rest in lines}
    }
    assert {unit: len(who) for unit, who in by_unit.items()} == dict.fromkeys(by_unit, 1)
    assert by_unit["test_a.py"] == by_unit["test_b.py"]
    assert len({who for who, *_ in lines}) == 2
    # In each worker, what takes long is run before what does not.
    assert {(rest[0], rest[1]) for _, *rest in lines[:2]} <= {("net", "test_a.py"), ("tests", "test_cli.py")}
