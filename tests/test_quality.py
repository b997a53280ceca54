"""What is odd about what a venue sends is marked on the frame and counted: nothing in recorded sessions, and
in altered ones exactly what was altered.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from feed_bench import Bench, Line, decoded, lines
from outcrier import _core
from outcrier.dissector import FLAGS
from outcrier.events import flag_names
from outcrier.venues.bybit import BYBIT, BYBIT_LINEAR
from outcrier.venues.upbit import UPBIT

CaptureFinder = Callable[[str], Path]

SUSPECT = 1 << FLAGS.index("SUSPECT")
CROSSED = 1 << FLAGS.index("CROSSED")
CAUSES = {
    "exchange_time_back",
    "exchange_time_off",
    "price_outliers",
    "volume_spikes",
    "crossed",
    "locked",
}
HOUR_MS = 3_600_000

CLEAN = (
    "binance/spot_2021-10-12",
    "binance/spot_btcusdt_2024-08-08",
    "binance/spot_ethusdt_2024-08-08",
    "binance/spot_nexousdt_2024-07-23",
    "binance/spot_nexousdt_2024-07-24",
    "binance_coinm/coinm_2021-07-22",
    "binance_coinm/coinm_btcusd_perp_2024-08-08",
    "binance_tr/spot_2023-04-10",
    "binance_us/spot_2021-10-12",
    "binance_usdm/usdm_2021-07-22",
    "binance_usdm/usdm_btcusdt_2022-08-11",
    "binance_usdm/usdm_btcusdt_2024-08-08",
)
"""Every session of Binance: nothing at all is marked in 338,884 events."""


def odd(feed: _core.Feed) -> dict[str, int]:
    """The counters of marks that are not 0."""
    counters = feed.counters()
    assert set(counters) >= CAUSES
    return {name: counters[name] for name in CAUSES if counters[name]}


def marked(bench: Bench) -> int:
    """Flags SUSPECT and CROSSED of the frames since the last call, and that they are one event's."""
    return max((frame["flags"] & (SUSPECT | CROSSED) for frame in decoded(bench.publisher)), default=0)


def only_symbol(name: str) -> str | None:
    return "BTCUSDT" if "usdm_btcusdt" in name else None


@pytest.mark.parametrize("name", CLEAN)
def test_nothing_is_odd_in_a_recorded_session(name: str, capture: CaptureFinder) -> None:
    bench = Bench(name.partition("/")[0])
    flags = 0
    for line in lines(capture(name)):
        bench.take(line, only_symbol(name))
        flags |= marked(bench)
    assert odd(bench.feed) == {}
    assert flags == 0


OTHERS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "bybit/v5_linear_2026-08-09": (BYBIT_LINEAR.shapes_json, lambda m: str(m["topic"].split(".")[-1])),
    "bybit/v5_spot_2026-08-09": (BYBIT.shapes_json, lambda m: str(m["topic"].split(".")[-1])),
    "bybit/v5_linear_orderbook1_btcusdt_2024-11-08": (
        BYBIT_LINEAR.shapes_json,
        lambda m: str(m["topic"].split(".")[-1]),
    ),
    "upbit/spot_2021-04-17": (UPBIT.shapes_json, lambda m: str(m["cd"])),
}


@pytest.mark.parametrize("name", OTHERS)
def test_nothing_is_odd_in_a_session_of_another_venue(name: str, capture: CaptureFinder) -> None:
    shapes, symbol_of = OTHERS[name]
    feed = _core.Feed(
        _core.Publisher.memory(),
        venue=1,
        channel=1,
        session=1,
        publisher_id=1,
        shapes=shapes,
        build="test",
        replay=True,
        start_ns=1,
    )
    indices: dict[str, int] = {}
    for line in received_lines(capture(name)):
        message = json.loads(line[1])
        if isinstance(message, dict) and ("topic" in message or "cd" in message):
            symbol = symbol_of(message)
            if symbol not in indices:
                indices[symbol] = feed.add_instrument(**Bench.instrument(symbol, 1 + len(indices)))
        feed.on_frame(1, line[1], line[0])
    assert indices
    assert odd(feed) == {}


# Recorded frames with one thing changed.


def payload(line: Line) -> dict[str, Any]:
    found: dict[str, Any] = line.message["data"]
    return found


def is_trade(line: Line) -> bool:
    return line.kind == "recv" and "@trade" in line.message["stream"]


def is_quote(line: Line) -> bool:
    return line.kind == "recv" and "@bookTicker" in line.message["stream"]


def times(data: dict[str, Any], field: str, factor: int) -> None:
    data[field] = f"{Decimal(data[field]) * factor:f}"


def price_times_ten(line: Line) -> bool:
    if is_trade(line):
        times(payload(line), "p", 10)
    return is_trade(line)


def ask_times_ten(line: Line) -> bool:
    if is_quote(line):
        times(payload(line), "a", 10)
    return is_quote(line)


def large_quantity_times_thousand(line: Line) -> bool:
    """Of trades of at least half a bitcoin: one of 10^-5 BTC is no spike with 10^-2."""
    if not is_trade(line) or Decimal(payload(line)["q"]) < Decimal("0.5"):
        return False
    times(payload(line), "q", 1_000)
    return True


def an_hour_back(line: Line) -> bool:
    if is_trade(line):
        payload(line)["T"] -= HOUR_MS
    return is_trade(line)


def two_seconds_back(line: Line) -> bool:
    """Less than what is far off: only the order is wrong."""
    if is_quote(line):
        payload(line)["T"] -= 2_000
    return is_quote(line)


ALTERED: dict[str, tuple[Callable[[Line], bool], set[str], int]] = {
    "price x 10": (price_times_ten, {"price_outliers"}, SUSPECT),
    "ask x 10": (ask_times_ten, {"price_outliers"}, SUSPECT),
    "quantity x 1,000": (large_quantity_times_thousand, {"volume_spikes"}, SUSPECT),
    "an hour back": (an_hour_back, {"exchange_time_back", "exchange_time_off"}, SUSPECT),
    "two seconds back": (two_seconds_back, {"exchange_time_back"}, SUSPECT),
}
USDM = "binance_usdm/usdm_btcusdt_2024-08-08"
MESSAGES = 30_000
AFTER = 5_000
EVERY = 97


@pytest.mark.parametrize("name", ALTERED)
def test_exactly_what_was_altered_is_marked(name: str, capture: CaptureFinder) -> None:
    alter, causes, flags = ALTERED[name]
    bench = Bench("binance_usdm")
    altered: list[int] = []
    found: dict[int, int] = {}
    for number, line in enumerate(lines(capture(USDM), most=MESSAGES)):
        if number > AFTER and number > (altered[-1] if altered else 0) + EVERY and alter(line):
            altered.append(number)
            line.text = json.dumps(line.message)
        bench.take(line, "BTCUSDT")
        if bits := marked(bench):
            found[number] = bits
    assert len(altered) > 40
    assert found == dict.fromkeys(altered, flags)
    assert odd(bench.feed) == dict.fromkeys(causes, len(altered))
    assert {name for name, count in bench.feed.quality(0).items() if count} == causes


def with_levels(line: Line, side: str, levels: list[list[str]]) -> None:
    payload(line)[side] += levels
    line.text = json.dumps(line.message)


@pytest.mark.parametrize(
    ("side", "factor", "flags", "causes"),
    [
        ("b", Decimal("1.0001"), SUSPECT | CROSSED, {"crossed"}),
        ("a", Decimal("0.1"), SUSPECT | CROSSED, {"crossed", "price_outliers"}),
        ("b", Decimal(1), 0, {"locked"}),
    ],
)
def test_a_level_beyond_the_other_side_is_marked_until_it_leaves(
    side: str, factor: Decimal, flags: int, causes: set[str], capture: CaptureFinder
) -> None:
    bench = Bench("binance_usdm")
    altered: list[int] = []
    found: dict[int, int] = {}
    added: str | None = None
    for number, line in enumerate(lines(capture(USDM), most=MESSAGES)):
        if line.is_diff and number > AFTER:
            if added is not None:
                with_levels(line, side, [[added, "0"]])
                added = None
            elif number > (altered[-1] if altered else 0) + EVERY:
                added = beyond(bench, line, side, factor)
                with_levels(line, side, [[added, "1"]])
                altered.append(number)
        bench.take(line, "BTCUSDT")
        if bits := marked(bench):
            found[number] = bits
    assert len(altered) > 20
    assert found == (dict.fromkeys(altered, flags) if flags else {})
    assert odd(bench.feed) == dict.fromkeys(causes, len(altered))


def beyond(bench: Bench, line: Line, side: str, factor: Decimal) -> str:
    """A price beyond the best of the other side, as it will be after the diff, on the tick."""
    data = payload(line)
    ours = bench.sides("BTCUSDT")[side == "b"]
    other = {price.normalize(): qty for price, qty in ours}
    other |= {Decimal(price).normalize(): Decimal(qty) for price, qty in data["a" if side == "b" else "b"]}
    best = (min if side == "b" else max)(price for price, qty in other.items() if qty)
    return f"{(best * factor).quantize(Decimal('0.1')):f}"


def test_the_names_of_the_flags_have_it() -> None:
    assert flag_names(SUSPECT) == ("suspect",)


def test_the_clock_of_the_venue_is_estimated(capture: CaptureFinder) -> None:
    bench = Bench("binance_usdm")
    assert bench.feed.clock() == {"comparable": False, "offset_ns": None, "drift_ppm": None, "windows": 0}
    first = None
    late: list[int] = []
    for line in lines(capture(USDM)):
        bench.take(line, "BTCUSDT")
        if line.kind == "recv" and line.message["data"].get("T"):
            late.append(line.t - line.message["data"]["T"] * 1_000_000)
            first = late[0] if first is None else first
    clock = bench.feed.clock()
    assert first is not None
    assert clock["windows"] > 30
    assert not clock["comparable"]
    # The least of all, counted from the first message; older windows have left.
    assert clock["offset_ns"] >= min(late) - first
    assert abs(clock["drift_ppm"]) < 20


def test_marks_are_counted_by_instrument() -> None:
    bench = Bench("binance")
    bench.add("AB")
    bench.add("CD")
    quote = '{"u":%d,"s":"%s","b":"%s","B":"1","a":"%s","A":"1"}'
    for number, (symbol, bid, ask) in enumerate([("AB", 1, 2), ("AB", 2, 1), ("CD", 1, 1), ("AB", 3, 1)]):
        bench.feed.on_frame(1, (quote % (number, symbol, bid, ask)).encode(), 1)
    counts = Counter({"AB": bench.feed.quality(0)["crossed"], "CD": bench.feed.quality(1)["locked"]})
    assert counts == {"AB": 2, "CD": 1}
    assert odd(bench.feed) == {"crossed": 2, "locked": 1}


def received_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Receive time and message of every received line, binary ones too."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for text in file:
            raw = json.loads(text)
            if raw["k"] == "recv":
                message = raw["d"].encode() if raw.get("d") is not None else base64.b64decode(raw["b"])
                # Recordings without receive times have the venue's time of sending.
                yield raw["t"] or json.loads(message).get("ts", 0) * 1_000_000, message
