"""Fixtures of the benchmarks, and the order of their cases.

Without `--record` each of our own cases runs once and only its answer is checked. With `--record DIRECTORY`
every case, peers included, is measured in seven rounds, each in an order of its own, and the record is
written.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from pathlib import Path

import pytest

from benchmarks.frame import Measure, Results
from benchmarks.frame.criterion import Criterion
from benchmarks.frame.floors import FloorFigures, Floors, build_floors
from benchmarks.frame.machine import Load, load_now
from benchmarks.frame.record import Session, write_record
from benchmarks.messages import FLOOR_SET, MessageSet, message_set, write_floor_input
from benchmarks.ours import instruments
from benchmarks.sockets.group import Wire
from benchmarks.sockets.load import build_load, make_frames
from outcrier.capture.library import data_folder

ROUNDS = 7
"""Rounds of a record; the median of seven stands one disturbed round in three."""

RESULTS = pytest.StashKey[Results]()
STARTED = pytest.StashKey[Load]()
FLOORS = pytest.StashKey[Floors]()

FAILED: dict[str, None] = {}
"""Cases that failed in some round."""
LEFT_OUT: dict[str, str] = {}
"""Cases that were skipped, and why. A report knows no session, so both are of this process."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("outcrier benchmarks")
    group.addoption("--record", type=Path, metavar="DIRECTORY", help="measure, and write the record there")
    group.addoption(
        "--name", default="", help="behind date and revision in the name of a record of some rows"
    )
    group.addoption("--rounds", type=int, default=ROUNDS, help="rounds of a record (default: %(default)s)")
    group.addoption("--order", type=int, default=2026, metavar="SEED", help="seed of the order of the cases")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "peer: measures what is not ours; only with --record")
    config.addinivalue_line("markers", "record_only: measures what takes long to set up; only with --record")
    config.addinivalue_line("markers", "once: the same in every round, so only in the first")
    config.stash[RESULTS] = Results()
    config.stash[STARTED] = load_now()


def is_recording(config: pytest.Config) -> bool:
    return config.getoption("--record") is not None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every case once a round."""
    if not is_recording(metafunc.config):
        return
    rounds = metafunc.config.getoption("--rounds")
    if metafunc.definition.get_closest_marker("once"):
        rounds = 1
    metafunc.fixturenames.append("bench_round")
    metafunc.parametrize("bench_round", range(rounds), ids=lambda number: f"round {number + 1}")


def round_of(item: pytest.Item) -> int:
    callspec = getattr(item, "callspec", None)
    return 0 if callspec is None else int(callspec.params.get("bench_round", 0))


def put_in_order(items: list[pytest.Item], seed: int) -> None:
    """Round after round; in each the rows, and in each row the cases, in an order of their own.

    Cases of a row that run on the same messages stay together, because the load of a machine drifts.
    """
    dice = random.Random(seed)  # noqa: S311 - an order, no secret
    dice.shuffle(items)
    groups: dict[tuple[int, str, str], float] = {}

    def place(item: pytest.Item) -> tuple[int, float]:
        on = getattr(item, "callspec", None)
        key = (round_of(item), str(item.path), "" if on is None else str(on.params.get("on")))
        return key[0], groups.setdefault(key, dice.random())

    items.sort(key=place)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Takes out what only a record needs, else puts round after round, each shuffled by the seed."""
    if is_recording(config):
        put_in_order(items, config.getoption("--order"))
        return
    kept = [
        item
        for item in items
        if not (item.get_closest_marker("peer") or item.get_closest_marker("record_only"))
    ]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


@pytest.fixture
def measure(request: pytest.FixtureRequest) -> Measure:
    """Checks and measures one case."""
    return Measure(
        request.config.stash[RESULTS],
        lambda: request.getfixturevalue("benchmark"),
        is_recording(request.config),
    )


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of recorded exchange messages; skips where there is none. A capture missing in it fails."""
    folder = data_folder()
    if folder is None:
        pytest.skip("no recorded messages: name their folder by OUTCRIER_DATA")
    return folder


@pytest.fixture(scope="session")
def floors(
    request: pytest.FixtureRequest, data_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Floors:
    """The floor programs beside the captures, built for this session."""
    built = build_floors(data_dir.parent / "floors", tmp_path_factory.mktemp("floors"))
    request.config.stash[FLOORS] = built
    return built


@pytest.fixture(scope="session")
def wire(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Wire:
    """Frames of 386 bytes, and the program that sends them."""
    busiest = message_set(data_dir, "USD-M 2024")
    (listed,) = instruments(data_dir, busiest)
    frames = make_frames(busiest, listed)
    path = tmp_path_factory.mktemp("wire") / "frames"
    frames.write(path)
    return Wire(frames, path, build_load())


@pytest.fixture
def messages(data_dir: Path, on: str) -> MessageSet:
    """The message set that the parameter `on` names."""
    return message_set(data_dir, on)


@pytest.fixture(scope="session")
def criterion(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Criterion:
    """The benches of the core."""
    return Criterion.build(tmp_path_factory.mktemp("criterion"), data_dir)


@pytest.fixture(scope="session")
def floor_rounds(
    floors: Floors, data_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[int, FloorFigures]:
    """What the program `floor` said in each round so far."""
    stem = tmp_path_factory.mktemp("messages") / "messages"
    write_floor_input(message_set(data_dir, FLOOR_SET), stem)
    return defaultdict(lambda: FloorFigures(floors, stem, FLOOR_SET))


@pytest.fixture
def floor_figures(floor_rounds: dict[int, FloorFigures], request: pytest.FixtureRequest) -> FloorFigures:
    """What the program `floor` says in this round."""
    figures = floor_rounds[round_of(request.node)]
    if not figures.told:
        figures.measure()
    return figures


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keeps what failed and what was skipped for the record."""
    case = re.sub(r"round \d+-?", "", report.nodeid).replace("[]", "")
    if report.failed:
        FAILED[case] = None
    elif report.skipped and isinstance(report.longrepr, tuple):
        LEFT_OUT[case] = report.longrepr[2].removeprefix("Skipped: ")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Writes the record, if something was measured."""
    config = session.config
    if exitstatus == pytest.ExitCode.INTERRUPTED:
        FAILED["interrupted, so that not all rounds were measured"] = None
    folder = config.getoption("--record")
    if folder is None or not config.stash[RESULTS].values:
        return
    floors = config.stash.get(FLOORS, None)
    path = write_record(
        folder,
        config.stash[RESULTS],
        Session(
            rounds=config.getoption("--rounds"),
            seed=config.getoption("--order"),
            command=" ".join(config.invocation_params.args),
            started=config.stash[STARTED],
            name=config.getoption("--name"),
            floors=None if floors is None else floors.why_not,
            failed=tuple(FAILED),
            left_out=tuple(f"{case}: {reason}" for case, reason in LEFT_OUT.items()),
        ),
    )
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.write_line(f"\nrecord: {path}")
