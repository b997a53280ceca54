"""The operator's log: JSON lines whose parts come as parts, files that stay within their limits, disks that
refuse.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import stat
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from outcrier.config import FeederConfig
from outcrier.errors import ConfigurationError, NetworkError
from outcrier.feeder import operator_log
from outcrier.feeder.logs import LimitedLog
from outcrier.feeder.operator_log import OperatorLog, iso
from outcrier.feeder.rotated_file import RotatedFile

SECOND = 1_000_000_000


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def config_of(path: Path) -> FeederConfig:
    return FeederConfig(operator_log=str(path), operator_log_mb=1, operator_log_files=3)


def test_a_line_has_its_parts_as_fields(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operator_log, "wall_ns", lambda: 1_796_075_215_334_467_123)
    path = tmp_path / "feeder.log"
    with OperatorLog(config_of(path)):
        log = LimitedLog(logging.getLogger("outcrier.feeder"), "binance")
        for step in range(12):
            log.log(step * SECOND // 10, logging.WARNING, "gap", f"BTC/USDT expected\n{step}")
        logging.getLogger("outcrier.feeder").debug("not for the operator")
        logging.getLogger("websockets.client").error("closed by %s", "them")
    common = {"time": "2026-11-30T21:46:55.334467123Z", "time_ns": 1_796_075_215_334_467_123}
    gap = {**common, "level": "warning", "logger": "outcrier.feeder", "venue": "binance", "cause": "gap"}
    assert lines_of(path) == [
        {**gap, "message": "BTC/USDT expected 0"},
        {**gap, "message": "BTC/USDT expected 10", "counts": {"held_back": 9}},
        {
            **common,
            "level": "error",
            "logger": "websockets.client",
            "cause": "websockets.client",
            "message": "closed by them",
        },
    ]


def test_every_wait_is_written_with_its_length_and_its_instrument(tmp_path: Path) -> None:
    path = tmp_path / "feeder.log"
    with OperatorLog(config_of(path)):
        log = LimitedLog(logging.getLogger("outcrier.feeder"), "binance")
        log.log(0, logging.WARNING, "conn=1", "4 streams subscribed")
        log.wait(logging.WARNING, "conn=1", "lost: closed 1006", 212_000_001)
        log.wait(logging.WARNING, "conn=1", "refused", 0)
        log.wait(logging.INFO, "snapshot", "BTC/USDT: HTTP 503", 61_000_000_000, "BTC/USDT")
        log.log(1, logging.WARNING, "conn=1", "not again within a second")
    parts = [
        (line["cause"], line["message"], line.get("symbol"), line.get("counts")) for line in lines_of(path)
    ]
    assert parts == [
        ("conn=1", "4 streams subscribed", None, None),
        ("conn=1", "lost: closed 1006; next try in 0.2 s", None, {"wait_ms": 213}),
        ("conn=1", "refused; next try in 0.0 s", None, {"wait_ms": 0}),
        ("snapshot", "BTC/USDT: HTTP 503; next try in 61.0 s", "BTC/USDT", {"wait_ms": 61_000}),
    ]


def test_times_are_exact_utc() -> None:
    assert iso(0) == "1970-01-01T00:00:00.000000000Z"
    assert iso(1_700_000_000_000_000_001) == "2023-11-14T22:13:20.000000001Z"


def test_nothing_is_on_the_terminal_and_what_ends_the_feeder_is_in_the_file(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "feeder.log"
    before = logging.getLogger().handlers[:]

    def run() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            warnings.warn("something is odd", stacklevel=1)
        logging.getLogger("asyncio").error("a task \ud800 %s", "\x1b[31m")
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError), OperatorLog(config_of(path)):
        run()
    with pytest.raises(NetworkError), OperatorLog(config_of(path)):
        raise NetworkError("port 9001 is in use")
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger().handlers == before
    warned, odd, bug, ended = lines_of(path)
    assert (warned["logger"], warned["level"]) == ("py.warnings", "warning")
    assert "something is odd" in warned["message"]
    assert odd["message"] == "a task ? \x1b[31m"
    assert (bug["level"], bug["cause"], bug["message"]) == ("error", "the feeder ends", "a bug")
    assert bug["traceback"].endswith("RuntimeError: a bug")
    assert (ended["message"], "traceback" in ended) == ("port 9001 is in use", False)


def test_a_long_text_is_cut_so_that_the_next_start_finds_the_end_of_a_line(tmp_path: Path) -> None:
    path = tmp_path / "feeder.log"
    with OperatorLog(config_of(path)):
        try:
            raise ValueError("\x01" * 100_000)
        except ValueError:
            logging.getLogger("outcrier").exception("\x02" * 100_000)
    assert path.stat().st_size < 1 << 16
    (line,) = lines_of(path)
    assert line["message"] == "\x02" * operator_log.TEXT_CHARS_MAX


def test_files_rotate_by_size_and_count_and_are_the_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "feeder.log"
    (tmp_path / "feeder.log.7").write_text("of a time with more files\n")
    (tmp_path / "feeder.log.old").write_text("somebody's\n")
    file = RotatedFile(path, 100, 3)
    old = os.umask(0)
    try:
        file.open()
        for number in range(25):
            file.write(b"%029d\n" % number)
    finally:
        os.umask(old)
        file.close()
    path.chmod(0o644)
    file.open()
    file.close()
    names = ["feeder.log", "feeder.log.1", "feeder.log.2", "feeder.log.old"]
    assert sorted(each.name for each in tmp_path.iterdir()) == names
    kept = [[int(line) for line in (tmp_path / name).read_text().split()] for name in names[:3]]
    assert kept == [[24], [21, 22, 23], [18, 19, 20]]
    assert {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in names[:3]} == {0o600}


def test_a_single_file_begins_anew(tmp_path: Path) -> None:
    file = RotatedFile(tmp_path / "one", 20, 1)
    file.open()
    for number in range(5):
        file.write(b"%09d\n" % number)
    assert (tmp_path / "one").read_bytes() == b"000000004\n"
    assert len(list(tmp_path.iterdir())) == 1
    file.close()


@pytest.mark.parametrize(
    "torn", [b"", b"half of a li", b"whole\nhalf", b"whole\n", b"x" * 70_000 + b"\nhalf"]
)
def test_a_crash_leaves_whole_lines(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "feeder.log"
    path.write_bytes(torn)
    file = RotatedFile(path, 1 << 20, 3)
    file.open()
    file.write(b"next\n")
    file.close()
    assert path.read_bytes() == torn[: torn.rfind(b"\n") + 1] + b"next\n"


def test_a_crash_between_two_moves_loses_no_file(tmp_path: Path) -> None:
    path = tmp_path / "feeder.log"
    (tmp_path / "feeder.log.1").write_bytes(b"before\n")  # And `feeder.log` was not made yet.
    file = RotatedFile(path, 8, 4)
    file.open()
    for text in (b"first\n", b"second\n"):
        file.write(text)
    file.close()
    assert [(tmp_path / f"feeder.log{end}").read_bytes() for end in ("", ".1", ".2")] == [
        b"second\n",
        b"first\n",
        b"before\n",
    ]


def test_who_moves_the_file_away_finds_the_rest_in_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "feeder.log"
    file = RotatedFile(path, 1 << 20, 3)
    file.open()
    file.write(b"one\n")
    path.rename(tmp_path / "taken")
    file.write(b"two\n")
    path.unlink()
    file.write(b"three\n")
    file.close()
    assert ((tmp_path / "taken").read_bytes(), path.read_bytes()) == (b"one\n", b"three\n")


def fifo(path: Path) -> None:
    os.mkfifo(path)


def link(path: Path) -> None:
    path.symlink_to("/dev/null")


REFUSED: dict[str, tuple[str, Callable[[Path], None] | None, str]] = {
    "no directory": ("absent/feeder.log", None, "there is no directory {folder}/absent; make it"),
    "a pipe": ("pipe", fifo, "it is no regular file, in directory {folder}"),
    "a link": ("link", link, "Too many levels of symbolic links, in directory {folder}"),
    "a directory": ("taken", Path.mkdir, "Is a directory, in directory {folder}"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_cannot_be_opened_is_an_error_at_the_start(tmp_path: Path, case: str) -> None:
    name, make, expected = REFUSED[case]
    path = tmp_path / name
    if make is not None:
        make(path)
    with pytest.raises(ConfigurationError) as caught:
        OperatorLog(config_of(path))
    assert str(caught.value).startswith(f"feeder.operator_log: {path}: ")
    assert expected.format(folder=tmp_path) in str(caught.value)


def test_two_feeders_do_not_write_one_file(tmp_path: Path) -> None:
    config = config_of(tmp_path / "feeder.log")
    with (
        OperatorLog(config),
        pytest.raises(ConfigurationError, match=r"feeder\.log: another process writes it; give each"),
    ):
        OperatorLog(config)
    with OperatorLog(config):
        pass


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Path:
    """A file system that is full after 64 KiB; needs root."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.system(f"mount -t tmpfs -o size=64k none {folder}") != 0:  # noqa: S605
        pytest.skip("this container may not mount a tmpfs")
    return folder


def test_a_full_disk_costs_lines_which_are_counted_and_told(tiny_disk: Path) -> None:
    path = tiny_disk / "feeder.log"
    logger = logging.getLogger("outcrier.feeder")
    try:
        with OperatorLog(config_of(path)) as log:

            def say(count: int, text: str) -> None:
                for number in range(count):
                    logger.warning("%s %d %s", text, number, "x" * 900)
                wait_for_writer(log)

            say(100, "many")
            full = log.counters()
            assert full["refused"] > 20
            assert full["written"] + full["refused"] == 100
            assert path.read_bytes().endswith(b"\n"), "no half of a line"
            os.truncate(path, 0)
            log._file.close()  # The length is counted anew when it is opened.
            say(1, "after")
        told, after = lines_of(path)
        assert (told["cause"], told["counts"]) == ("lines missing", {"missing": full["refused"]})
        assert after["message"].startswith("after 0")
        assert log.counters() == {**full, "written": full["written"] + 2}
    finally:
        os.system(f"umount {tiny_disk}")  # noqa: S605


def wait_for_writer(log: OperatorLog) -> None:
    """Until the thread waits for another line."""
    for _ in range(3_000):
        if not log._queue.unfinished_tasks:
            return
        time.sleep(0.01)
    raise AssertionError("the thread hangs")


def test_a_disk_that_hangs_costs_lines_and_no_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operator_log, "QUEUED_LINES_MAX", 10)
    monkeypatch.setattr(operator_log, "CLOSE_S", 0.01)
    hangs, goes_on = threading.Event(), threading.Event()
    written: list[bytes] = []

    def write(self: RotatedFile, line: bytes) -> None:
        hangs.set()
        goes_on.wait(30)
        written.append(line)

    monkeypatch.setattr(RotatedFile, "write", write)
    logger = logging.getLogger("outcrier.feeder")
    with OperatorLog(config_of(tmp_path / "feeder.log")) as log:
        logger.warning("first")
        assert hangs.wait(30)
        for number in range(30):
            logger.warning("%d", number)
        assert log.counters() == {"written": 0, "queued_out": 20, "refused": 0}
        goes_on.set()
    log._thread.join(30)
    told = [json.loads(line) for line in b"".join(written).splitlines()]
    assert told[0]["message"] == "first"
    assert told[1]["counts"] == {"missing": 20}
    assert [line["message"] for line in told[2:]] == [str(number) for number in range(10)]


def test_a_disk_that_refuses_never_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(self: RotatedFile, line: bytes) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(RotatedFile, "write", write)
    with OperatorLog(config_of(tmp_path / "feeder.log")) as log:
        logging.getLogger("outcrier.feeder").warning("lost")
    assert log.counters() == {"written": 0, "queued_out": 0, "refused": 1}
