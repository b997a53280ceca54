"""Fixtures of the tests with namespaces; whoever lacks something is told what, at the end of the run too."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from net.load import CAPTURE, read_loads, truth
from net.namespaces import Lab, MissingError, check, lab, remove_leftovers
from net.world import World

MESSAGES = 6_000
"""Messages of an instrument: a minute of 20,000 a second over 200 of them."""

_numbers = itertools.count()


@pytest.fixture(scope="session")
def machine() -> None:
    """Skips where namespaces and rules cannot be had."""
    try:
        check()
    except MissingError as missing:
        pytest.skip(str(missing))
    remove_leftovers()


@pytest.fixture(scope="session")
def files(
    capture: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[str], list[str]]:
    """The loads and the tables of what books are, for the programs."""
    folder = tmp_path_factory.mktemp("load")
    loads, truths = [], []
    for number, load in enumerate(read_loads(capture(CAPTURE), MESSAGES)):
        paths = folder / f"load{number}.json", folder / f"truth{number}.json"
        paths[0].write_bytes(msgspec.json.encode(load))
        paths[1].write_bytes(msgspec.json.encode(truth(load)))
        loads.append(str(paths[0]))
        truths.append(str(paths[1]))
    return loads, truths


@pytest.fixture
def hosts(machine: None) -> Iterator[Lab]:
    """Two hosts and two cables."""
    with lab(next(_numbers)) as made:
        yield made


@pytest.fixture
def world(hosts: Lab, files: tuple[list[str], list[str]], tmp_path: Path) -> World:
    """The hosts and what runs on them."""
    return World(hosts, *files, tmp_path)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Of reports: the tests may have run in other processes."""
    skipped: list[pytest.TestReport] = terminalreporter.getreports("skipped")
    reasons = [
        report.longrepr[2].removeprefix("Skipped: ")
        for report in skipped
        if isinstance(report.longrepr, tuple) and report.nodeid.startswith("tests/net/")
    ]
    if reasons:
        terminalreporter.section("tests with network namespaces did not run")
        for reason in dict.fromkeys(reasons):
            terminalreporter.line(reason)
