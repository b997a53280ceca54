"""What tests of a running feeder share: stand-ins on 127.0.0.1, a feeder here, and what left it."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
from collections.abc import Callable, Coroutine, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from naive import NaiveBook
from outcrier import _core
from outcrier.capture.faults import Fault
from outcrier.capture.server import StandInServer, stand_in_config
from outcrier.capture.stand_in import StandIn
from outcrier.config import Config, FeederConfig
from outcrier.feeder.service import FeederService
from outcrier.venue_numbers import VENUE_NUMBERS
from outcrier.venues import VENUES

CaptureFinder = Callable[[str], Path]

FLAG_RESET = 1 << 5
FLAG_TEST = 1 << 8
DELTA, SNAPSHOT, STATUS, CONN, SESSION_START, SESSION_END, DEFINITION = (
    0x10,
    0x11,
    0x04,
    0x05,
    0x02,
    0x03,
    0x20,
)
LIVE, STALE = 1, 2

USDM = "binance_usdm/usdm_btcusdt_2024-08-08"
SPOT = "binance/spot_btcusdt_2024-08-08"
COINM = "binance_coinm/coinm_btcusd_perp_2024-08-08"


def cut(source: Path, directory: Path, most: int) -> Path:
    """The first lines of a capture as a capture of its own."""
    target = directory / source.parent.name / "cut.jsonl"
    target.parent.mkdir(exist_ok=True)
    with gzip.open(source, "rt", encoding="utf-8") as file, target.open("w", encoding="utf-8") as out:
        out.writelines(itertools.islice(file, most))
    return target


def naive_at(path: Path, last_id: int) -> NaiveBook:
    """The book of the recording when the update `last_id` was applied."""
    book = NaiveBook(chain="binance/" not in str(path))
    for text in path.read_text(encoding="utf-8").splitlines():
        line = json.loads(text)
        message = json.loads(line["d"])
        if line["k"] == "http" and "lastUpdateId" in message:
            book.snapshot(line["d"])
        elif "@depth" in message.get("stream", "") and message["data"]["u"] <= last_id:
            book.diff(message["data"])
    return book


LISTS = {
    "binance": "binance/spot_instruments",
    "binance_usdm": "binance_usdm/usdm_instruments",
    "binance_coinm": "binance_coinm/coinm_instruments",
}


def stand_in_of(
    venue: str, path: Path, capture: CaptureFinder, *, speed: float = 1, faults: Sequence[Fault] = ()
) -> StandIn:
    """Plays `path`, with the venue's own instrument list."""
    return StandIn(VENUES[venue], [path], speed=speed, faults=faults, instruments=capture(LISTS[venue]))


def listed(stand_in: StandIn) -> str:
    """The body of the instrument list that the stand-in answers with."""
    (body,) = stand_in.exchange.instruments.values()
    return body


def set_list(stand_in: StandIn, body: Any) -> None:
    """Answers with `body` from now on."""
    (target,) = stand_in.exchange.instruments
    stand_in.exchange.instruments[target] = json.dumps(body)


def config_of(stand_ins: Sequence[StandInServer], directory: Path, **feeder: Any) -> Config:
    config = stand_in_config(stand_ins)
    return msgspec.structs.replace(config, feeder=FeederConfig(state_dir=str(directory / "state"), **feeder))


class Wire:
    """What left the feeder so far, decoded, and a consumer that hears it."""

    def __init__(self) -> None:
        self.publisher = _core.Publisher.memory()
        self.receiver = _core.Receiver(accept_test=True)
        self.frames: list[tuple[int, dict[str, Any]]] = []
        self._now_ns = itertools.count(1_000_000_000, 1_000)
        self._seqs: dict[tuple[int, int], int] = {}

    def hear(self) -> list[tuple[int, dict[str, Any]]]:
        """Takes what has left; everything so far."""
        for plane, frame in self.publisher.take():
            self.receiver.datagram(plane, frame, 0, next(self._now_ns))
            decoded = _core.decode_frame(frame)
            if plane == 0:
                self._check_seq(decoded)
            # A PACK is what it holds.
            self.frames += [(plane, each) for each in decoded["messages"] or [decoded]]
        return self.frames

    def _check_seq(self, frame: dict[str, Any]) -> None:
        """Frames of a channel are numbered one by one. A heartbeat has the number of the next, and the
        end of a session comes again.
        """
        key = frame["channel"], frame["session"]
        seq = self._seqs.get(key, 0) + 1
        assert frame["channel_seq"] == seq, frame
        if frame["msg"] not in {"HEARTBEAT", "SESSION_END"}:
            self._seqs[key] = seq

    def incremental(self) -> list[dict[str, Any]]:
        return [message for plane, message in self.frames if plane == 0]

    def book_id(self, venue: str) -> int:
        """The exchange's id of the last update of the book of instrument 1."""
        return next(
            int(message["source_seq"])
            for plane, message in reversed(self.frames)
            if plane == 0
            and (message["venue"], message["instrument"]) == (VENUE_NUMBERS[venue], 1)
            and message["msg_type"] in {DELTA, SNAPSHOT}
        )

    def sides(self, venue: str, instrument: int) -> tuple[list[tuple[Decimal, Decimal]], ...]:
        """The consumer's book in decimals, best first."""
        info = self.receiver.book_info(VENUE_NUMBERS[venue], instrument)
        exponents = info["price_exp"], info["qty_exp"]
        sides = self.receiver.book(VENUE_NUMBERS[venue], instrument)
        return tuple(
            [
                (Decimal(int(price)).scaleb(exponents[0]), Decimal(int(qty)).scaleb(exponents[1]))
                for price, qty in side
            ]
            for side in sides
        )


async def until(condition: Callable[[], bool], what: str, seconds: float = 20) -> None:
    for _ in range(int(seconds / 0.01)):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"not within {seconds} s: {what}")


def play(
    config: Config, wire: Wire, scene: Callable[[FeederService], Coroutine[Any, Any, None]]
) -> Coroutine[Any, Any, None]:
    """Runs the service while `scene` plays, then stops it."""

    async def run() -> None:
        stop = asyncio.Event()
        async with FeederService(config, publisher=wire.publisher) as service:
            running = asyncio.create_task(service.run(stop))
            scene_task = asyncio.create_task(scene(service))
            await asyncio.wait({running, scene_task}, return_when=asyncio.FIRST_COMPLETED)
            stop.set()
            await running
            await scene_task
        wire.hear()

    return run()


def is_live(service: FeederService) -> bool:
    return all(venue.live == venue.books > 0 for venue in service.status())
