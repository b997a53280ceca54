"""`outcrier venues`: what it says of the venues is so, the documents say the same, and what feeders meet that
no declaration knows is told by name.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import venue_doc
from conftest import ROOT
from feed_bench import Bench
from outcrier.capture.venue_facts import VenueFacts, facts_of
from outcrier.cli import venues
from outcrier.cli.main import run
from outcrier.feeder import report
from outcrier.feeder.control import ControlServer
from outcrier.feeder.drift import UNKNOWN_NAMES_MAX, SchemaDrift
from outcrier.feeder.logs import LimitedLog, told_of
from outcrier.feeder.status import VenueStatus
from outcrier.venues import VENUES
from outcrier.views import BOOK_PROOFS, named

CaptureFinder = Callable[[str], Path]


@pytest.fixture(scope="module")
def recorded_facts(data_dir: Path) -> dict[str, VenueFacts]:
    return {venue.name: facts_of(venue, data_dir) for venue in venue_doc.EXCHANGES}


@pytest.mark.parametrize("name", venue_doc.DOCUMENTS)
def test_documents_say_what_the_venues_are(name: str, recorded_facts: dict[str, VenueFacts]) -> None:
    block = venue_doc.DOCUMENTS[name](recorded_facts.values())
    assert venue_doc.written(ROOT / name) == block, "run tests/venue_doc.py"


SAID = {
    "binance": ("sequence", "U = u before + 1", "", "REST", "the taker sold where true (m)"),
    "binance_usdm": ("sequence", "pu = u before", "", "REST", "the taker sold where true (m)"),
    "bybit_linear": ("sequence", "u = u before + 1", "", "stream", "side of the taker (S)"),
    "okx": (
        "sequence and checksum",
        "books: prevSeqId = seqId before; books5: each book is whole",
        "CRC32 of 25 levels where it is not 0",
        "stream",
        "side of the taker (side)",
    ),
    "coinbase": (
        "sequence",
        "sequence_num of every message = the one before + 1",
        "",
        "stream",
        "side of the maker, turned round (side)",
    ),
    "coinbase_exchange": ("UNVERIFIABLE", "none", "", "stream", "side of the maker, turned round (side)"),
    "upbit": ("UNVERIFIABLE", "each book is whole", "", "stream", "side of the taker (ab or ask_bid)"),
    "kraken": ("checksum", "none", "CRC32 of 10 levels", "stream", "side of the taker (side)"),
}


@pytest.mark.parametrize("name", SAID)
def test_what_follows_from_a_declaration(name: str) -> None:
    each = facts_of(VENUES[name], None)
    proof = named(BOOK_PROOFS, each.book_proof)
    assert (proof, each.rule, each.checksum, each.book_from, each.aggressor) == SAID[name]
    assert [channel.name for channel in each.channels] == list(VENUES[name].channels)
    assert each.recorded() == each.sampled() == []
    assert each.documented() == list(VENUES[name].channels)


def test_what_was_recorded_is_counted(recorded_facts: dict[str, VenueFacts], capture: CaptureFinder) -> None:
    counted: Counter[str] = Counter()
    with gzip.open(capture("coinbase/exchange_2021-04-17"), "rt") as file:
        for line in map(json.loads, file):
            if line["k"] == "recv":
                counted[json.loads(line["d"])["type"]] += 1
    with gzip.open(capture("coinbase/ssc2ce_dump_2020-06"), "rt") as file:
        for line in map(json.loads, file):
            if line["k"] == "recv":
                counted[json.loads(line["d"])["type"]] += 1
    found = recorded_facts["coinbase_exchange"]
    recorded = {channel.name: channel.recorded for channel in found.channels}
    assert recorded == {
        "level2_batch": counted["snapshot"] + counted["l2update"],
        "matches": counted["match"] + counted["last_match"],
        "ticker": counted["ticker"],
        "heartbeat": counted["heartbeat"],
        "status": 0,
        "full": 0,
    }
    assert found.closed() == ["full"]
    assert found.captured == ("2020-06", "2021-04-17")
    assert found.documented() == ["status", "full"]
    assert recorded_facts["kraken"].sampled() == ["trade", "ticker", "ohlc", "instrument", "level3"]


def test_words_for_limits() -> None:
    bybit, okx, binance = (VENUES[name] for name in ("bybit", "okx", "binance"))
    assert venues.limits(okx.limits) == [
        *("29 symbols a connection", "2 messages/s", "480 messages/h", "3 connects/s")
    ]
    assert "1,000 connections" in venues.limits(bybit.limits)
    assert venues.keepalive(binance.keepalive) == ["venue pings every 20 s", "lifetime 24 h"]
    assert venues.keepalive(bybit.keepalive) == ["client pings every 20 s", "no lifetime told"]
    assert venues.keepalive(VENUES["kraken"].keepalive)[0] == "client pings after 5 s of silence"
    assert [venues.duration(seconds) for seconds in (0.5, 60, 90, 3600, 86_400)] == [
        *("0.5 s", "1 min", "90 s", "1 h", "24 h")
    ]


@pytest.mark.parametrize("width", [80, 160])
def test_the_table_fits(
    width: int, data_dir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(venues, "data_folder", lambda: data_dir)
    assert run(["venues", "okx", "bybit_v2", "bithumb_legacy"]) == 0
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= width
    text = " ".join(printed.split())
    for word in ("okx", "OLD DIALECT", "UNVERIFIABLE", "bithumb_legacy", "lifetime", "recorded"):
        assert word in text
    assert "..." not in printed
    assert "…" not in printed


def test_without_captures_it_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(venues, "data_folder", lambda: None)
    assert run(["venues", "--json", "kraken"]) == 0
    out, err = capsys.readouterr()
    assert "no captures here (OUTCRIER_DATA names no folder)" in err
    told = json.loads(out)
    assert told["rule"] == "none"
    assert told["limits"]["symbols_per_connection"] == VENUES["kraken"].limits.symbols_per_connection
    assert told["keepalive"]["client_ping"] == '{"method":"ping"}'
    assert [channel["recorded"] for channel in told["channels"]] == [0] * 6


# Drift.


NOTHING = {"int": 0, "bool": False, "str": "", "Mapping[str, int]": {}}


def status(venue: str, **changes: Any) -> VenueStatus:
    """Of a venue that has done nothing yet."""
    values = {field.name: NOTHING.get(str(field.type)) for field in fields(VenueStatus)}
    return VenueStatus(**{**values, "venue": venue, **changes})


class Service:
    """What the control socket asks for the status."""

    def status(self) -> list[VenueStatus]:
        return [
            status("okx", drift={"books.new\x1b[31m": 7, "books.-ts": 1_200}, unknown={"grid": 3}),
            status("binance"),
        ]


@pytest.fixture
def ask(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs `outcrier venues --drift` beside a feeder."""
    monkeypatch.setenv("OUTCRIER__FEEDER__CONTROL_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def asked(*arguments: str) -> tuple[int, str, str]:
        async def beside() -> int:
            async with ControlServer(Service(), tmp_path):  # type: ignore[arg-type]  # all that is asked of it
                return await asyncio.to_thread(run, ["venues", "--drift", *arguments])

        code = asyncio.run(beside())
        return code, *capsys.readouterr()

    return asked


def test_drift_of_running_feeders(ask: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = ask()
    assert code == 0
    assert out.splitlines() == [
        "binance: nothing unknown",
        "okx: 3 unknown",
        "  field          1,200  books.-ts",
        "  field              7  books.new?[31m",
        "  message            3  grid",
    ]
    code, out, _ = ask("okx", "--json")
    assert json.loads(out) == {
        "venue": "okx",
        "drift": {"books.new\x1b[31m": 7, "books.-ts": 1200},
        "unknown": {"grid": 3},
    }
    code, _, err = ask("kraken")
    assert (code, err) == (2, "outcrier: error: no feeder that runs here publishes kraken\n")


def test_drift_without_a_feeder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTCRIER__FEEDER__CONTROL_DIR", str(tmp_path / "none"))
    monkeypatch.chdir(tmp_path)
    assert run(["venues", "--drift"]) == 2
    assert "no feeder runs here" in capsys.readouterr().err


def test_sums_of_drift_stand_in_metrics() -> None:
    values = report._venue_values(status("okx", drift={"a": 2, "b": 3}, unknown={"c": 7}, messages=9))
    named_values = dict(zip((name for name, *_ in report._VENUE), values, strict=True))
    assert named_values["drift_total"] == 5
    assert named_values["unknown_messages_total"] == 7
    assert named_values["messages_total"] == 9


def test_each_new_name_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    bench = Bench("binance")
    bench.add("BTCUSDT")
    drift = SchemaDrift(bench.feed, LimitedLog(logging.getLogger("test"), "binance"))

    def said() -> list[tuple[str, str, str]]:
        told = [told_of(record) for record in caplog.records]
        caplog.clear()
        return [(each.venue, each.cause, each.message) for each in told]

    def trade(number: int, more: str) -> None:
        text = (
            f'{{"stream":"btcusdt@trade","data":{{"e":"trade","E":{number},"s":"BTCUSDT","t":{number},'
            f'"p":"1","q":"1","T":{number},"m":true,"M":true{more}}}}}'
        )
        bench.feed.on_frame(1, text.encode(), number)

    trade(1, "")
    drift.look()
    assert said() == []
    trade(2, ',"x":1,"y":[1,2]')
    drift.message("newEvent")
    drift.look()
    assert said() == [
        ("binance", "schema drift", "trade.x, trade.y"),
        ("binance", "unknown messages", "newEvent"),
    ]
    trade(3, ',"x":1,"z":1')
    drift.message("newEvent")
    drift.look()
    assert said() == [("binance", "schema drift", "trade.z")]
    assert drift.fields == {"trade.x": 2, "trade.y": 1, "trade.z": 1}
    for number in range(2 * UNKNOWN_NAMES_MAX):
        drift.message(f"name{number}")
    assert len(drift.messages) == UNKNOWN_NAMES_MAX + 1
    assert drift.messages["newEvent"] == 2
    assert drift.messages["other"] == UNKNOWN_NAMES_MAX + 1
