"""`outcrier log` and the bindings of the log. The log itself is tested in rust_core/net/tests/log."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from log_frames import CAPTURE, CHANNEL, SESSION, WALL_NS, frames_of, read_log, write_log
from outcrier import _core
from outcrier.cli.main import run

CaptureFinder = Callable[[str], Path]


@pytest.fixture(scope="module")
def frames(capture: CaptureFinder) -> list[bytes]:
    return frames_of(capture(CAPTURE))


def test_what_was_written_is_read_with_its_stamps_and_holes(frames: list[bytes], tmp_path: Path) -> None:
    kept = frames[:50] + frames[60:]
    write_log(tmp_path, kept)
    got, holes = read_log(tmp_path)
    assert got == [(WALL_NS + place * 1_001, frame) for place, frame in enumerate(kept)]
    assert holes == [(50, 51, 60)]


def test_a_frame_that_is_none_is_refused_with_its_reason(frames: list[bytes], tmp_path: Path) -> None:
    writer = _core.LogWriter(tmp_path)
    with pytest.raises(ValueError, match=r"^no frame for the log: crc$"):
        writer.frame(1, frames[0][:-1] + bytes([frames[0][-1] ^ 1]))
    assert _core.LogWriter.refusal(b"") == "too_short"
    assert _core.LogWriter.refusal(frames[0] + bytes(9)) is None
    writer.frame(1, frames[0] + bytes(9))
    with pytest.raises(OSError, match="another process writes this log"):
        _core.LogWriter(tmp_path)
    assert writer.close() == 1
    with pytest.raises(ValueError, match="closed"):
        writer.frame(1, frames[0])
    assert read_log(tmp_path) == ([(1, frames[0])], [])


def test_the_listing_tells_segments_sessions_and_holes(
    frames: list[bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = frames[:50] + frames[60:]
    write_log(tmp_path, kept)
    segments = sorted(tmp_path.glob("*.log"))
    assert len(segments) > 1
    assert run(["log", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines[: len(segments)]] == [path.name for path in segments]
    size = sum(map(len, kept))
    told = (
        f"channel {CHANNEL} session {SESSION}: 1 to {len(frames)}, {len(kept):,} frames, {size:,} B,"
        " 2023-11-14T22:13:20.123Z to 2023-11-14T22:13:20.123Z, no end, 10 missing in 1 holes"
    )
    assert lines[len(segments) :] == [
        told,
        "  hole 51 to 60",
        f"sound: {len(kept):,} numbered frames of 1 sessions",
    ]
    assert run(["log", str(tmp_path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    (session,) = told["sessions"]
    assert (session["holes"], session["missing_marked"], session["missing_unmarked"]) == ([[51, 60]], 10, 0)
    assert [Path(segment["path"]) for segment in told["segments"]] == segments
    assert {segment["state"] for segment in told["segments"]} == {"whole"}
    assert told["sound"] is True


def test_damage_is_named_and_ends_with_code_3(
    frames: list[bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_log(tmp_path, frames)
    segment = sorted(tmp_path.glob("*.log"))[1]
    bent = bytearray(segment.read_bytes())
    bent[5_000] ^= 4
    segment.write_bytes(bent)
    assert run(["log", str(tmp_path)]) == 3
    out = capsys.readouterr().out
    assert f"{segment.name}: DAMAGED at offset " in out
    assert "MISSING WITHOUT A MARK" in out
    assert out.splitlines()[-1].startswith("NOT SOUND: ")
    assert run(["log", str(tmp_path), "--json"]) == 3
    told = json.loads(capsys.readouterr().out)
    (damaged,) = [each for each in told["segments"] if each["state"] == "damaged"]
    assert damaged["damage_offset"] <= 5_000
    reader = _core.LogReader(tmp_path)
    left = [frame for *_, frame in reader]
    assert len(left) == told["sessions"][0]["frames"] < len(frames)
    assert set(left) < set(frames)
    assert reader.refused() == [(segment, damaged["damage_offset"])]


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["log", str(tmp_path / "none")]) == 3
    said = capsys.readouterr().err
    assert said.startswith("outcrier: error: cannot read the directory ")
    assert said.count("\n") == 1
