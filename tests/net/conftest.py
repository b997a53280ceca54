"""Fixtures of the tests with namespaces; whoever lacks something is told what, at the end of the run too."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from net.load import CAPTURE, Load, read_load, truth
from net.namespaces import Lab, MissingError, check, lab, remove_leftovers
from net.world import World

MESSAGES = 6_000
"""Messages of an instrument at most: a minute of 20,000 a second over 200 instruments."""

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
def truth_file(load_of_tests: Load, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The table of what books are, for the consumers."""
    path = tmp_path_factory.mktemp("truth") / "truth.json"
    path.write_text(json.dumps(truth(load_of_tests)))
    return path


@pytest.fixture
def hosts(machine: None) -> Iterator[Lab]:
    """Two hosts and two cables."""
    with lab(next(_numbers)) as made:
        yield made


@pytest.fixture
def world(hosts: Lab, truth_file: Path, capture: Callable[[str], Path], tmp_path: Path) -> World:
    """The hosts and what runs on them."""
    return World(hosts, capture(CAPTURE), truth_file, tmp_path, MESSAGES)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _missing:
        terminalreporter.section("tests with network namespaces did not run")
        for text in _missing:
            terminalreporter.line(text)
