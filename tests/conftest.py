"""Fixtures that tests share, and the rule that CI skips nothing it could run."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import hypothesis
import pytest
from xdist.remote import Producer

from outcrier.feeder.loops import loop_factory
from workers import ByFile
from workers import free_port as free_port_now

ROOT = Path(__file__).resolve().parent.parent

# Machines of CI are shared: a slow example is no failure. What failed is printed so that it can be run again.
hypothesis.settings.register_profile("outcrier", deadline=None, print_blob=True)
hypothesis.settings.load_profile("outcrier")


def captures_folder() -> Path:
    """The folder of recorded exchange messages: $OUTCRIER_DATA, else ../shared/data beside the repository."""
    return Path(os.environ.get("OUTCRIER_DATA") or ROOT.parent / "shared" / "data")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of recorded exchange messages; skips where there is none."""
    folder = captures_folder()
    if not folder.is_dir():
        pytest.skip(f"no recorded messages: {folder} is not a folder, name one by OUTCRIER_DATA")
    return folder


@pytest.fixture(scope="session")
def capture(data_dir: Path) -> Callable[[str], Path]:
    """Gives the path of a capture by folder and name (`binance/spot_2021-10-12`); skips if it is missing."""

    def path_of(name: str) -> Path:
        path = data_dir / "captures" / f"{name}.jsonl.gz"
        if not path.is_file():
            pytest.skip(f"capture is missing: {path}")
        return path

    return path_of


@pytest.fixture
def free_port() -> int:
    """A UDP port that nobody uses now: multicast groups are shared by all tests, ports are not."""
    return free_port_now()


def skips_are_failures() -> bool:
    """In CI, with the captures there, nothing is left that could be missing."""
    return bool(os.environ.get("CI")) and captures_folder().is_dir()


def fail_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turns a skip into a failure that keeps the reason; an expected failure (xfail) is none."""
    if report.outcome != "skipped" or hasattr(report, "wasxfail") or not skips_are_failures():
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
    report.outcome = "failed"
    report.longrepr = f"nothing may be skipped in CI where the captures are there: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    fail_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    fail_skip(report)
    return report


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    """With the event loop that the feeder has."""
    with asyncio.Runner(loop_factory=loop_factory("auto")) as auto:
        yield auto


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    return ByFile(config, log)
