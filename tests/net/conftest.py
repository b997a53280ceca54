"""Fixtures of the tests with namespaces; whoever lacks something is told what, at the end of the run too."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from net.load import CAPTURE, Load, read_load, truth
from net.namespaces import Lab, MissingError, check, lab, remove_leftovers
from net.world import World

MESSAGES = 6_000
"""Messages of an instrument: a minute of 20,000 a second over 200 of them."""

_missing: list[str] = []
_numbers = itertools.count()


@pytest.fixture(scope="session")
def machine() -> None:
    """Skips where namespaces and rules cannot be had."""
    try:
        check()
    except MissingError as missing:
        _missing.append(str(missing))
        pytest.skip(str(missing))
    remove_leftovers()


@pytest.fixture(scope="session")
def load_of_tests(capture: Callable[[str], Path]) -> Load:
    """The messages that every instrument gets."""
    return read_load(capture(CAPTURE), MESSAGES)


@pytest.fixture(scope="session")
def files(load_of_tests: Load, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The load and the table of what books are, for the programs."""
    folder = tmp_path_factory.mktemp("load")
    load, table = folder / "load.json", folder / "truth.json"
    load.write_bytes(msgspec.json.encode(load_of_tests))
    table.write_bytes(msgspec.json.encode(truth(load_of_tests)))
    return load, table


@pytest.fixture
def hosts(machine: None) -> Iterator[Lab]:
    """Two hosts and two cables."""
    with lab(next(_numbers)) as made:
        yield made


@pytest.fixture
def world(hosts: Lab, files: tuple[Path, Path], tmp_path: Path) -> World:
    """The hosts and what runs on them."""
    return World(hosts, *files, tmp_path)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _missing:
        terminalreporter.section("tests with network namespaces did not run")
        for text in _missing:
            terminalreporter.line(text)
