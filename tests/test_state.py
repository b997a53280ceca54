"""The state directory: sessions rise, ids are for life, a second feeder and a corrupt file are refused."""

from __future__ import annotations

import json
import multiprocessing
import os
from multiprocessing.connection import Connection as Pipe
from pathlib import Path

import pytest

from outcrier.clock import SESSION_EPOCH_NS
from outcrier.errors import ConfigurationError
from outcrier.feeder.state import VenueState, default_state_dir

NOW_NS = SESSION_EPOCH_NS + 60_000_000 * 1_000_000_000


def state(directory: Path, venue: str = "binance", channel: int = 1) -> VenueState:
    return VenueState(directory, "live", venue, channel)


def test_sessions_are_seconds_since_2024_and_always_rise(tmp_path: Path) -> None:
    with state(tmp_path) as first:
        assert first.last_session == 0
        assert first.next_session(NOW_NS) == 60_000_000
        assert first.next_session(NOW_NS) == 60_000_001
    with state(tmp_path) as second:
        assert second.last_session == 60_000_001
        # The clock went back by a day: the number does not.
        assert second.next_session(NOW_NS - 86_400 * 10**9) == 60_000_002
        assert second.next_session(NOW_NS + 10 * 10**9) == 60_000_010
        assert json.loads((tmp_path / "live/channel_1.json").read_text()) == {"session": 60_000_010}


def test_a_clock_before_2024_still_gives_a_number(tmp_path: Path) -> None:
    with state(tmp_path) as first:
        assert first.next_session(0) == 1


def test_ids_are_stable_and_never_given_twice(tmp_path: Path) -> None:
    with state(tmp_path) as first:
        assert first.ids(["BTCUSDT", "ETHUSDT"]) == {"BTCUSDT": 1, "ETHUSDT": 2}
        assert first.ids(["币安人生USDT"]) == {"币安人生USDT": 3}
    with state(tmp_path) as second:
        assert second.ids(["SOLUSDT", "ETHUSDT"]) == {"SOLUSDT": 4, "ETHUSDT": 2}
        assert second.ids(["币安人生USDT"]) == {"币安人生USDT": 3}


def test_purposes_and_venues_do_not_disturb_each_other(tmp_path: Path) -> None:
    with state(tmp_path) as live, VenueState(tmp_path, "replay", "binance", 1) as replay:
        assert replay.ids(["XYZUSDT"]) == {"XYZUSDT": 1}
        assert live.ids(["BTCUSDT"]) == {"BTCUSDT": 1}
        with state(tmp_path, "binance_usdm", 2) as usdm:
            assert usdm.ids(["ETHUSDT"]) == {"ETHUSDT": 1}


def _hold(directory: Path, pipe: Pipe) -> None:
    with state(directory):
        pipe.send(os.getpid())
        pipe.recv()


def test_a_second_process_is_refused_with_file_and_pid(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    holder = context.Process(target=_hold, args=(tmp_path, theirs))
    holder.start()
    try:
        assert ours.poll(30)
        pid = ours.recv()
        with pytest.raises(ConfigurationError) as caught:
            state(tmp_path)
        assert str(caught.value).startswith(
            f"{tmp_path}/live/binance.lock: another feeder (pid {pid}) publishes"
        )
        with state(tmp_path, "binance_usdm", 2):
            pass
    finally:
        ours.send(None)
        holder.join(30)
    with state(tmp_path):
        pass


def test_the_same_process_is_refused_too(tmp_path: Path) -> None:
    with state(tmp_path), pytest.raises(ConfigurationError, match=f"pid {os.getpid()}"):
        state(tmp_path)


GOOD = '{"venue": "binance", "next_id": 3, "ids": {"A": 1, "B": 2}}'


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "Expecting value"),
        (GOOD[:-1], "Expecting"),
        ("[]", "it must hold"),
        ('{"venue": "binance", "ids": {}}', "it must hold"),
        (GOOD.replace("binance", "kraken"), "belongs to venue 'kraken'"),
        (GOOD.replace('"B": 2', '"B": 1'), "stands twice"),
        (GOOD.replace('"next_id": 3', '"next_id": 2'), "not below next_id"),
        (GOOD.replace('"A": 1', '"A": 0'), "whole numbers from 1"),
        (GOOD.replace('"A": 1', '"A": "1"'), "whole numbers from 1"),
        (GOOD.replace('"A": 1', '"A": true'), "whole numbers from 1"),
        (GOOD.replace('"next_id": 3', '"next_id": 1e3'), "whole numbers from 1"),
    ],
)
def test_a_corrupt_registry_is_refused_and_left_as_it_is(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "live" / "registry_binance.json"
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        state(tmp_path)
    assert str(caught.value).startswith(f"{path}: corrupt (")
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)
    assert path.read_text() == text
    path.write_text(GOOD)
    with state(tmp_path) as mended:  # the refusal gave the lock back
        assert mended.ids(["B", "C"]) == {"B": 2, "C": 3}


def test_a_corrupt_session_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "live" / "channel_1.json"
    path.parent.mkdir()
    path.write_text('{"session": -5}')
    with pytest.raises(ConfigurationError, match=r"channel_1\.json: corrupt"):
        state(tmp_path)


def test_a_crash_before_the_rename_leaves_the_old_registry(tmp_path: Path) -> None:
    with state(tmp_path) as first:
        first.ids(["A"])
    (tmp_path / "live" / "registry_binance.new").write_text('{"venue": "bin')
    with state(tmp_path) as second:
        assert second.ids(["A", "B"]) == {"A": 1, "B": 2}


def test_a_directory_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        ConfigurationError, match=r"Not a directory; choose another directory with feeder.state_dir"
    ):
        state(tmp_path / "file")


def test_the_last_id_is_given_and_then_no_more(tmp_path: Path) -> None:
    path = tmp_path / "live" / "registry_binance.json"
    path.parent.mkdir()
    path.write_text(f'{{"venue": "binance", "next_id": {2**32 - 1}, "ids": {{}}}}')
    with state(tmp_path) as last:
        with pytest.raises(ConfigurationError, match="no instrument id is left"):
            last.ids(["A", "B"])
        assert last.ids(["A"]) == {"A": 2**32 - 1}


def test_default_directory_follows_xdg() -> None:
    assert default_state_dir({"XDG_STATE_HOME": "/srv/state"}) == Path("/srv/state/outcrier")
    assert default_state_dir({"XDG_STATE_HOME": "relative"}) == Path.home() / ".local/state/outcrier"
    assert default_state_dir({}) == Path.home() / ".local/state/outcrier"
