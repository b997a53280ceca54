"""Instruments come and go while a feeder runs: what leaves and joins is told on the wire, and nobody else
notices.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from feeder_scene import (
    DEFINITION,
    DELTA,
    LIVE,
    SNAPSHOT,
    SPOT,
    STATUS,
    CaptureFinder,
    Wire,
    config_of,
    is_live,
    listed,
    play,
    set_list,
    until,
)
from outcrier.capture.library import list_of
from outcrier.capture.stand_in import StandIn
from outcrier.errors import ConfigurationError
from outcrier.feeder.service import FeederService
from outcrier.layout import REASONS
from outcrier.venue_numbers import VENUE_NUMBERS
from outcrier.venues import VENUES

DELISTED = 9

CASES = {
    "binance_usdm": ("binance_usdm/usdm_btcusdt_2024-08-08", 3),
    "bybit_linear": ("bybit/v5_linear_2026-08-09", 1),
    "okx_2022": ("okx/v5_public_2022-05-13", 1),
    "kraken_futures": ("kraken_futures/v1_2021-07-22", 1),
    "upbit": ("upbit/spot_2021-04-17", 1),
    "coinbase_exchange": ("coinbase/exchange_2021-04-17", 2),
}
"""Books by REST, in the stream, and whole ones by requests that replace each other."""


def ids_of(wire: Wire) -> dict[str, int]:
    """Number on the wire by native symbol."""
    wire.hear()
    return {each["native_symbol"]: each["instrument"] for each in wire.receiver.instruments()}


def frames_of(wire: Wire, instrument: int, since: int = 0) -> list[dict[str, Any]]:
    """What left of an instrument on the incremental plane, from frame `since` on."""
    return [frame for plane, frame in wire.frames[since:] if plane == 0 and frame["instrument"] == instrument]


def check_untouched(frames: list[dict[str, Any]]) -> None:
    """Every number in order, no state but live, no book anew."""
    states = [(f["root"]["state"], f["root"]["reason"]) for f in frames if f["msg_type"] == STATUS]
    assert {state for state, _ in states} <= {LIVE}, states
    numbers = [frame["instr_seq"] for frame in frames if frame["instr_seq"]]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert not [frame for frame in frames if frame["msg_type"] == SNAPSHOT]


@pytest.mark.parametrize("name", CASES)
def test_one_comes_and_one_goes_and_the_others_do_not_notice(
    name: str, capture: CaptureFinder, tmp_path: Path, runner: asyncio.Runner
) -> None:
    file, copies = CASES[name]
    venue, path = VENUES[name], capture(file)
    wire = Wire()

    async def run() -> None:
        instruments = list_of(venue, [path])
        async with StandIn(venue, [path], copies=copies, instruments=instruments, loop=True) as stand_in:
            config = config_of([stand_in], tmp_path)
            symbol = stand_in.found.symbols[0]
            stays, goes, comes = symbol, f"X1{symbol}", f"X{copies}{symbol}"
            if copies < 2:
                comes = f"X1{stand_in.found.symbols[1]}"
            config.venues[name] = msgspec.structs.replace(config.venues[name], symbols=(stays, goes))

            async def scene(service: FeederService) -> None:
                feeder = service.venue(name)
                await until(lambda: is_live(service), "both live")
                reconnects = stand_in.counters.connections
                wire.hear()
                since = len(wire.frames)
                (came,) = feeder.add([comes])
                assert came == feeder._known().find(comes).symbol
                await until(lambda: len(ids_of(wire)) == 3 and is_live(service), "the third is live")
                ids = ids_of(wire)
                heard = frames_of(wire, ids[comes])
                assert heard[0]["msg_type"] == DEFINITION
                await until(
                    lambda: bool(wire.hear()) and len(frames_of(wire, ids[comes])) > len(heard), "it goes on"
                )
                feeder.remove([goes])
                assert service.status()[0].books == 2
                wire.hear()
                left = len(wire.frames)
                await until(
                    lambda: bool(wire.hear()) and len(frames_of(wire, ids[stays], left)) > 5,
                    "the others go on",
                    30,
                )
                gone = frames_of(wire, ids[goes], since)
                last = [frame for frame in gone if frame["msg_type"] == STATUS][-1]["root"]
                assert (last["state"], REASONS[last["reason"]]) == (DELISTED, "removed")
                assert gone[-1]["msg_type"] in {STATUS, DEFINITION}, "nothing of it after that"
                check_untouched(frames_of(wire, ids[stays], since))
                assert wire.receiver.state(VENUE_NUMBERS[name], ids[stays]) == "LIVE"
                assert stand_in.counters.connections == reconnects, "all on the open links"
                subscribed = {stream for each in stand_in._connections for stream in each.client.streams}
                assert {venue.native_symbol_of(stream) for stream in subscribed} - {None} == {stays, comes}

            await play(config, wire, scene)
            assert stand_in.counters.breaches == {}

    runner.run(run())


@pytest.mark.parametrize("name", ["upbit", "binance_usdm", "bithumb_legacy"])
def test_when_the_last_one_leaves_the_connection_closes_and_opens_again_when_needed(
    name: str, capture: CaptureFinder, tmp_path: Path, runner: asyncio.Runner
) -> None:
    files = {"bithumb_legacy": "bithumb/spot_full_2021-06-01"} | {
        key: file for key, (file, _) in CASES.items()
    }
    venue, path = VENUES[name], capture(files[name])
    wire = Wire()

    async def run() -> None:
        async with StandIn(venue, [path], instruments=list_of(venue, [path]), loop=True) as stand_in:
            config = config_of([stand_in], tmp_path)
            symbol = stand_in.found.symbols[0]
            config.venues[name] = msgspec.structs.replace(config.venues[name], symbols=(symbol,))

            async def scene(service: FeederService) -> None:
                feeder = service.venue(name)

                def is_heard() -> bool:
                    (status,) = service.status()
                    return status.subscribed > 0 and status.messages > 0

                await until(is_heard, "subscribed")
                before = service.status()[0]
                feeder.remove([symbol])
                await until(lambda: not stand_in._connections, "closed")
                status = service.status()[0]
                assert (status.connections, status.books, status.instruments) == (0, 0, 0)
                assert status.messages >= before.messages, "sums do not fall"
                assert status.why_not == "nothing of it is asked for"
                await asyncio.sleep(1.2)  # CONN is told meanwhile, of no connection.
                assert service.status()[0].connections == 0
                feeder.add([symbol])
                await until(is_heard, "subscribed again")
                assert stand_in.counters.connections >= 2
                if name != "bithumb_legacy":
                    await until(lambda: is_live(service), "live again")

            await play(config, wire, scene)
            assert stand_in.counters.breaches == {}

    runner.run(run())
    versions = [frame["root"]["def_version"] for _, frame in wire.frames if frame["msg_type"] == DEFINITION]
    assert versions[0] < versions[-1], "a definition of its own"


def test_rules_follow_the_list_and_refusals_leave_everything_as_it_was(
    capture: CaptureFinder, tmp_path: Path, runner: asyncio.Runner
) -> None:
    path = capture(SPOT)
    venue = VENUES["binance"]
    wire = Wire()

    async def run() -> None:
        async with StandIn(
            venue, [path], instruments=capture("binance/spot_instruments"), copies=2
        ) as stand_in:
            body = json.loads(listed(stand_in))
            entry = next(each for each in body["symbols"] if each["symbol"] == "BTCUSDT")

            def set_symbols(**statuses: str) -> None:
                entries = [
                    entry | {"symbol": name, "status": status, "baseAsset": name.removesuffix("USDT")}
                    for name, status in statuses.items()
                ]
                set_list(stand_in, body | {"symbols": entries})

            set_symbols(BTCUSDT="TRADING")
            config = config_of([stand_in], tmp_path, instruments_refresh_s=1)
            config.venues["binance"] = msgspec.structs.replace(
                config.venues["binance"], symbols=("spot:USDT",)
            )

            async def scene(service: FeederService) -> None:
                feeder = service.venue("binance")
                await until(lambda: is_live(service), "live")
                wire.hear()
                since = len(wire.frames)
                set_symbols(BTCUSDT="TRADING", X1BTCUSDT="TRADING")
                await until(
                    lambda: service.status()[0].books == 2 and is_live(service), "the new listing is followed"
                )
                set_symbols(BTCUSDT="TRADING", X2BTCUSDT="TRADING")
                await until(lambda: set(ids_of(wire)) >= {"X2BTCUSDT"}, "the next one")
                await until(lambda: service.status()[0].books == 2, "what has ended is dropped")
                session = feeder._session
                assert session is not None
                assert set(session.published) == {"BTCUSDT", "X2BTCUSDT"}
                with pytest.raises(ConfigurationError, match="unknown symbol 'NOPE'"):
                    feeder.add(["NOPE"])
                with pytest.raises(ConfigurationError, match="unknown symbol 'NOPE'"):
                    feeder.reconfigure(["BTCUSDT", "NOPE"])
                assert feeder._choice.symbols == ["spot:USDT"]
                # No connection more than there is: what is new is refused, and nobody falls.
                tight = msgspec.structs.replace(venue.limits, connections=1, streams_per_connection=1)
                session._planner.venue = type(venue).__new__(type(venue))
                session._planner.venue.__dict__.update(venue.__dict__, limits=tight)
                set_symbols(BTCUSDT="TRADING", X1BTCUSDT="TRADING", X2BTCUSDT="TRADING")
                await until(lambda: "are allowed" in service.status()[0].last_error, "refused and told")
                with pytest.raises(ConfigurationError, match=r"connections are needed, 1 are allowed"):
                    feeder.add(["X1BTCUSDT"])
                assert feeder._choice.symbols == ["spot:USDT"]
                await until(lambda: is_live(service), "and all goes on")
                ids = ids_of(wire)
                check_untouched(frames_of(wire, ids["BTCUSDT"], since))
                assert [f for f in frames_of(wire, ids["BTCUSDT"], since) if f["msg_type"] == DELTA]

            await play(config, wire, scene)

    runner.run(run())
