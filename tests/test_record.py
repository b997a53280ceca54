"""Recording: the format, files that stay readable, and the real connectors against the stand-in exchange."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from outcrier import _core
from outcrier.capture.faults import Fault
from outcrier.capture.format import CaptureLine, encode_line, read_capture
from outcrier.capture.library import group_by_venue
from outcrier.capture.record import Limits, RecordSummary, record
from outcrier.capture.replay import replay_into
from outcrier.capture.server import stand_in_config
from outcrier.capture.stand_in import StandIn
from outcrier.capture.venue_replay import VenueSummary
from outcrier.capture.writer import BLOCK_BYTES, CaptureWriter
from outcrier.config import Config, VenueConfig
from outcrier.errors import CaptureError, NetworkError
from outcrier.venues.binance import BINANCE, BINANCE_USDM
from sockets import Child, cut, stand_in, until

CaptureFinder = Callable[[str], Path]

USDM = "binance_usdm/usdm_btcusdt_2022-08-11"
LIST = "binance_usdm/usdm_instruments"
SPOT = "binance/spot_btcusdt_2024-08-08"

pytestmark = pytest.mark.timeout(100)


def received(path: Path) -> list[CaptureLine]:
    return [line for line in read_capture(path) if line.kind == "recv"]


def messages(path: Path) -> list[bytes]:
    """What was received, without the answers to our own requests."""
    return [line.data for line in received(path) if not line.data.startswith(b'{"result":')]


# The format and the files.


def test_what_is_written_reads_back_byte_for_byte(tmp_path: Path) -> None:
    rows = [
        '{"a":"é \\u00e9 \\" \u2028"}'.encode(),
        b"\x1f\x8b\x00\xff",
        b"",
        b"\xed\xa0\x80",
        "\x00\x7f\U0001f600".encode(),
    ]
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"".join(encode_line(5 + at, "recv", "wss://x/y", row) for at, row in enumerate(rows)))
    lines = list(read_capture(path))
    assert [line.data for line in lines] == rows
    assert [line.time_ns for line in lines] == [5, 6, 7, 8, 9]
    assert {(line.kind, line.url) for line in lines} == {("recv", "wss://x/y")}
    assert [line.text is None for line in lines] == [False, True, False, True, False]
    # As the captures write it: t, k, u, d.
    assert list(json.loads(path.read_bytes().splitlines()[0])) == ["t", "k", "u", "d"]
    assert list(json.loads(path.read_bytes().splitlines()[1])) == ["t", "k", "u", "b"]


def fill(writer: CaptureWriter, path: Path, lines: range) -> None:
    """Lines that hardly compress, a block each."""
    file = writer.open(path)
    for number in lines:
        noise = os.urandom(BLOCK_BYTES)
        writer.write(file, encode_line(number, "recv", "u", noise), number, is_message=True)


def numbers(path: Path) -> list[int | None]:
    return [line.time_ns for line in read_capture(path)]


def test_a_limit_of_bytes_ends_the_files_with_whole_lines(tmp_path: Path) -> None:
    writer = CaptureWriter(bytes_max=1_000_000)
    fill(writer, tmp_path / "new" / "a.jsonl.gz", range(1, 6))
    (summary,) = writer.finish()
    assert numbers(tmp_path / "new" / "a.jsonl.gz") == [1, 2, 3]
    assert (summary.messages, summary.lines, summary.first_ns, summary.last_ns) == (3, 3, 1, 3)
    assert summary.bytes == Path(summary.path).stat().st_size == writer.bytes < 1_000_000
    assert (writer.full, writer.error, writer.unwritten) == (True, None, 2)


def test_a_long_recording_has_parts(tmp_path: Path) -> None:
    writer = CaptureWriter(part_bytes_max=500_000)
    fill(writer, tmp_path / "a.jsonl.gz", range(1, 6))
    summaries = writer.finish()
    names = ["a.jsonl.gz", "a_part2.jsonl.gz", "a_part3.jsonl.gz"]
    assert [Path(summary.path).name for summary in summaries] == names
    assert [numbers(tmp_path / name) for name in names] == [[1, 2], [3, 4], [5]]
    assert [(summary.first_ns, summary.last_ns) for summary in summaries] == [(1, 2), (3, 4), (5, 5)]


def test_a_recording_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(b"precious")
    writer = CaptureWriter()
    fill(writer, path, range(1, 3))
    assert writer.finish() == []
    assert isinstance(writer.error, CaptureError)
    assert writer.unwritten == 2
    assert path.read_bytes() == b"precious"


FULL_DISK = """
import os, resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from outcrier.capture.writer import CaptureWriter
from test_record import fill
resource.setrlimit(resource.RLIMIT_FSIZE, (900_000, 900_000))  # a write takes what fits, the next one fails
writer = CaptureWriter()
fill(writer, Path(sys.argv[1]), range(1, 6))
(summary,) = writer.finish()
print(writer.error, writer.unwritten, summary.lines, summary.bytes)
"""


def test_a_full_disk_leaves_a_readable_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    command = [sys.executable, "-c", FULL_DISK, str(path), str(Path(__file__).parent)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f"{path}: cannot be written: File too large 2 3 ")
    assert numbers(path) == [1, 2, 3]
    assert int(result.stdout.split()[-1]) == path.stat().st_size


# The real connectors.


def recorded(
    venue: StandIn, folder: Path, limits: Limits, stop_when: Callable[[StandIn], bool] | None = None
) -> RecordSummary:
    """Records a stand-in until a limit, or until it has said all."""

    async def run() -> RecordSummary:
        stop = asyncio.Event()

        async def watch() -> None:
            while stop_when is not None and not stop_when(venue):  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)
            if stop_when is not None:
                stop.set()

        async with asyncio.timeout(60), venue:
            watching = asyncio.create_task(watch())
            summary = await record(stand_in_config([venue]), folder, limits, stop)
            watching.cancel()
        return summary

    return asyncio.run(run())


def books(*paths: Path) -> VenueSummary:
    """The books at the end of captures, replayed."""
    publisher = _core.Publisher.memory()
    return replay_into(publisher, group_by_venue(list(paths))[0]).summary()


def test_what_is_recorded_from_a_capture_is_the_capture(capture: CaptureFinder, tmp_path: Path) -> None:
    source = capture(USDM)
    venue = StandIn(BINANCE_USDM, [source], speed=1.5, instruments=capture(LIST))
    # The stand-in sends everybody away at the end, so the first file is the whole capture.
    summary = recorded(venue, tmp_path, Limits(), lambda venue: venue.counters.injected.get("end", 0) > 0)
    listed, first = summary.files[:2]
    folder = tmp_path / "binance_usdm"
    assert {Path(file.path).parent for file in summary.files} == {folder}
    assert Path(listed.path).name.startswith("binance_usdm_instruments_")
    assert Path(first.path).name.startswith("binance_usdm_conn1_")
    assert messages(Path(first.path)) == messages(source), "byte for byte, none missing, in order"
    lines = list(read_capture(Path(first.path)))
    assert [line.kind for line in lines[:2]] == ["send", "recv"], "the subscription and its answer"
    asked = json.loads(lines[0].data)
    assert asked["method"] == "SUBSCRIBE"
    assert set(asked["params"]) == {"btcusdt@depth@0ms", "btcusdt@trade"}
    (url,) = {line.url or "" for line in lines if line.kind != "http"}
    found = re.fullmatch(r"ws(://127\.0\.0\.1:\d+)/public/stream", url)
    assert found is not None, url
    answers = {line.url for line in lines if line.kind == "http"}
    assert answers == {f"http{found[1]}/fapi/v1/depth?symbol=BTCUSDT&limit=1000"}
    times = [line.time_ns or 0 for line in lines]
    assert times == sorted(times)
    (instruments,) = read_capture(Path(listed.path))
    assert (instruments.kind, instruments.text) == ("http", next(iter(venue.exchange.instruments.values())))
    # Replayed, it ends with the books that the capture ends with.
    original, again = books(source), books(Path(first.path))
    assert again.books[0].state == original.books[0].state == "LIVE"
    for end in ("symbol", "bids", "asks", "source_seq", "hash"):
        assert getattr(again.books[0], end) == getattr(original.books[0], end), end
    assert (summary.why, summary.unwritten) == ("stopped", 0)
    assert summary.messages == sum(file.messages for file in summary.files)
    assert summary.venues[0].gaps == summary.venues[0].faults == 0


def test_a_count_is_kept_exactly(capture: CaptureFinder, tmp_path: Path) -> None:
    source = cut(capture(SPOT), tmp_path, 3_000)
    venue = StandIn(BINANCE, [source], speed=10.0)
    summary = recorded(venue, tmp_path / "out", Limits(count=100))
    assert (summary.why, summary.messages) == ("count", 100)
    assert sum(len(received(Path(file.path))) for file in summary.files) == 100


def test_seconds_and_bytes_end_a_recording(capture: CaptureFinder, tmp_path: Path) -> None:
    source = cut(capture(SPOT), tmp_path, 3_000)
    summary = recorded(StandIn(BINANCE, [source]), tmp_path / "a", Limits(seconds=4.0))
    assert summary.why == "seconds"
    assert summary.messages > 0
    summary = recorded(StandIn(BINANCE, [source]), tmp_path / "b", Limits(bytes=4_000))
    assert summary.why == "bytes"
    assert summary.unwritten > 0
    assert summary.bytes == sum(path.stat().st_size for path in (tmp_path / "b").rglob("*.gz")) <= 4_000


def test_every_link_has_a_file_of_its_own(capture: CaptureFinder, tmp_path: Path) -> None:
    source = cut(capture(SPOT), tmp_path, 3_000)
    venue = StandIn(BINANCE, [source], speed=2.0, faults=[Fault(kind="close", at=200)])
    summary = recorded(venue, tmp_path / "out", Limits(count=260))
    names = [Path(file.path).name.split("_20")[0] for file in summary.files]
    assert names == ["binance_instruments", "binance_conn1", "binance_conn1_link2"]
    assert summary.venues[0].reconnects == 1
    both = [Path(file.path) for file in summary.files[1:]]
    assert [next(iter(read_capture(path))).kind for path in both] == ["send", "send"]
    assert books(*both).counters["faults"] == 0


def test_no_message_at_all_is_an_error_that_says_why(tmp_path: Path, free_port: int) -> None:
    urls = VenueConfig(
        enabled=True, ws_url=f"ws://127.0.0.1:{free_port}", rest_url=f"http://127.0.0.1:{free_port}"
    )
    config = msgspec.structs.replace(Config(), venues={"binance": urls})
    with pytest.raises(NetworkError, match=rf"no message came; binance: .*127.0.0.1:{free_port}: refused"):
        asyncio.run(record(config, tmp_path, Limits(seconds=0.5), asyncio.Event()))
    assert list(tmp_path.rglob("*.gz")) == []


# The program.


def test_ctrl_c_leaves_whole_files_and_says_what_was_written(capture: CaptureFinder, tmp_path: Path) -> None:
    slow: list[str | Path] = ["--speed", "0.2", "--instruments", capture(LIST)]
    exchange, config = stand_in(tmp_path, capture(USDM), *slow)
    with exchange, Child(tmp_path, "record", "--config", config, "--out", "rec") as child:
        until(lambda: any((tmp_path / "rec").rglob("*conn1*.gz")), "a file")
        child.signal(signal.SIGINT)
        assert child.end() == 0, child.err
    (path,) = (tmp_path / "rec" / "binance_usdm").glob("*conn1*.gz")
    n_messages = len(received(path))
    assert f"rec/binance_usdm/{path.name}: {n_messages:,} messages, " in child.out
    assert child.out.startswith(f"{n_messages:,} messages, ")
    assert "ended by stopped" not in child.out.splitlines()[1]
    assert "\x1b" not in child.out
    with gzip.open(path) as file:
        assert file.read().endswith(b"}\n")


def test_the_summary_as_json(capture: CaptureFinder, tmp_path: Path) -> None:
    exchange, config = stand_in(tmp_path, capture(USDM), "--instruments", capture(LIST))
    with exchange, Child(tmp_path, "record", "--config", config, "--count", "20", "--json") as child:
        assert child.end() == 0, child.err
    told = json.loads(child.out)
    assert (told["why"], told["messages"]) == ("count", 20)
    assert told["venues"][0]["test"] is True
    assert all((tmp_path / file["path"]).is_file() for file in told["files"])
