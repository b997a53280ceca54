"""What is published and how: instruments chosen from real lists, connections by the venue's limits."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from outcrier.capture.format import read_capture
from outcrier.config import VenueConfig
from outcrier.errors import ConfigurationError
from outcrier.feeder.backoff import SECOND_NS
from outcrier.feeder.plan import check_venue, plan_venue, spec_of
from outcrier.feeder.selection import LIMITED_PER_CATEGORY, select
from outcrier.instruments import Catalogue, Trading
from outcrier.venues import VENUES
from outcrier.venues.binance import SUBSCRIBE_BYTES_MAX

FILES = {
    "binance": "binance/spot_instruments.jsonl.gz",
    "binance_usdm": "binance_usdm/usdm_instruments.jsonl.gz",
    "binance_coinm": "binance_coinm/coinm_instruments.jsonl.gz",
}


@pytest.fixture(scope="module")
def catalogues(data_dir: Path) -> dict[str, Catalogue]:
    """The instruments that the venues listed in 2021, by venue."""
    found: dict[str, Catalogue] = {}
    for name, file in FILES.items():
        path = data_dir / "captures" / file
        if not path.is_file():
            pytest.skip(f"capture is missing: {path}")
        body = next(line.data for line in read_capture(path) if line.kind == "http")
        instruments, faults = VENUES[name].parse_instruments(body)
        assert len(instruments) > 20
        assert len(faults) < len(instruments)
        found[name] = Catalogue(name, instruments)
    return found


def test_a_star_takes_all_that_trade_in_the_order_of_the_list(catalogues: dict[str, Catalogue]) -> None:
    catalogue = catalogues["binance"]
    chosen = select(catalogue, ["*"], limited=False)
    assert [i.native_symbol for i in chosen] == [
        i.native_symbol for i in catalogue if i.status == Trading.OPEN
    ]
    assert len(chosen) > 1000
    assert any(i.status == Trading.HALTED for i in catalogue)


def test_names_are_ours_or_the_venues_each_once_and_whatever_their_status(
    catalogues: dict[str, Catalogue],
) -> None:
    catalogue = catalogues["binance"]
    halted = next(i for i in catalogue if i.status == Trading.HALTED)
    names = ["ETHUSDT", "BTC/USDT", "ETH/USDT@binance", halted.symbol]
    chosen = select(catalogue, names, limited=False)
    assert [i.symbol for i in chosen] == ["ETH/USDT", "BTC/USDT", halted.symbol]
    with pytest.raises(ConfigurationError, match=r"unknown symbol 'BTC/USTD' on binance .*BTC/USDT"):
        select(catalogue, ["BTC/USTD"], limited=False)


def test_limited_mode_takes_ten_of_each_kind_and_quote_majors_first(catalogues: dict[str, Catalogue]) -> None:
    for catalogue in catalogues.values():
        everything = select(catalogue, ["*"], limited=False)
        chosen = select(catalogue, ["*"], limited=True)
        counts = Counter(i.category for i in chosen)
        whole = Counter(i.category for i in everything)
        assert counts == {category: min(n, LIMITED_PER_CATEGORY) for category, n in whole.items()}
        for category in counts:
            bases = [i.base for i in chosen if i.category == category]
            listed = [i.base for i in everything if i.category == category]
            majors = [base for base in ("BTC", "ETH") for _ in range(listed.count(base))]
            rest = [base for base in listed if base not in {"BTC", "ETH"}]
            assert bases == (majors + rest)[:LIMITED_PER_CATEGORY]
    usdt = [i.symbol for i in select(catalogues["binance"], ["*"], limited=True) if i.quote == "USDT"]
    assert usdt[:4] == ["BTC/USDT", "ETH/USDT", "BNB/USDT", "NEO/USDT"]


def test_every_stream_is_planned_once_within_the_limits_of_the_venue(
    catalogues: dict[str, Catalogue],
) -> None:
    for name, catalogue in catalogues.items():
        venue = VENUES[name]
        plan = plan_venue(venue, catalogue, VenueConfig(), limited=False)
        streams = [stream for connection in plan.connections for stream in connection.streams]
        assert len(streams) == len(set(streams))
        asked: list[str] = []
        for connection in plan.connections:
            assert len(connection.streams) <= venue.limits.streams_per_connection
            for request in venue.subscribe(connection.streams):
                assert len(request.text.encode()) <= SUBSCRIBE_BYTES_MAX
                asked += json.loads(request.text)["params"]
        assert sorted(asked) == sorted(streams)
        books = [native for connection in plan.connections for native in connection.books]
        assert sorted(books) == sorted(plan.instruments)
        spec = spec_of(plan.connections[0], venue)
        assert spec.lifetime_ns <= 86_400 * SECOND_NS
        assert 0 < spec.expected_silence_ns <= 60 * SECOND_NS
        assert spec.url.startswith(venue.ws_url)
        assert [request.acks for request in spec.subscribe] == [1] * len(spec.subscribe)


def test_usdm_streams_go_to_the_path_that_pushes_them(catalogues: dict[str, Catalogue]) -> None:
    plan = plan_venue(
        VENUES["binance_usdm"],
        catalogues["binance_usdm"],
        VenueConfig(symbols=("BTC/USDT:PERP",)),
        limited=False,
    )
    by_path = {connection.url: set(connection.streams) for connection in plan.connections}
    assert {url.rpartition("/stream")[0].rpartition("/")[2] for url in by_path} == {"public", "market"}
    for url, streams in by_path.items():
        for stream in streams:
            kind = stream.partition("@")[2].split("@")[0]
            is_public = kind.startswith(("depth", "bookTicker")) or kind == "trade"
            assert is_public == ("/public/" in url), stream


def test_configured_endpoint_channels_and_speed_reach_the_plan(
    catalogues: dict[str, Catalogue],
) -> None:
    config = VenueConfig(
        ws_url="ws://127.0.0.1:9000", symbols=("BTCUSDT",), channels=("depth", "trade"), depth_speed="0ms"
    )
    plan = plan_venue(VENUES["binance_usdm"], catalogues["binance_usdm"], config, limited=False)
    assert [connection.url for connection in plan.connections] == ["ws://127.0.0.1:9000/public/stream"]
    assert plan.connections[0].streams == ("btcusdt@depth@0ms", "btcusdt@trade")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"channels": ("depht",)}, "venues.binance: binance has no channel 'depht': depth,"),
        ({"channels": ("trade", "aggTrade")}, "carry the same trades"),
        ({"depth_speed": "50ms"}, "speed '50ms' of channel depth of binance is not offered: 100ms, 1000ms"),
    ],
)
def test_what_the_venue_does_not_offer_is_refused_before_anything_is_connected(
    changes: dict[str, object], problem: str
) -> None:
    config = msgspec.structs.replace(VenueConfig(), **changes)
    with pytest.raises(ConfigurationError) as caught:
        check_venue(VENUES["binance"], config)
    assert problem in str(caught.value)


def test_nothing_left_to_publish_is_an_error(catalogues: dict[str, Catalogue]) -> None:
    with pytest.raises(
        ConfigurationError, match=r"venues\.binance\.symbols: none of \d+ instruments is left"
    ):
        plan_venue(VENUES["binance"], catalogues["binance"], VenueConfig(symbols=()), limited=False)


def test_instruments_without_a_book_belong_to_every_connection_with_a_stream_of_theirs(
    catalogues: dict[str, Catalogue],
) -> None:
    def bookless(*channels: str) -> dict[str, list[str]]:
        config = VenueConfig(symbols=("BTCUSDT", "ETHUSDT"), channels=channels)
        plan = plan_venue(VENUES["binance_usdm"], catalogues["binance_usdm"], config, limited=False)
        found = plan.bookless()
        return {each.url.split("/")[3]: found[each.number] for each in plan.connections}

    both = ["BTCUSDT", "ETHUSDT"]
    assert bookless("depth", "trade", "markPrice") == {"public": [], "market": []}
    assert bookless("trade", "markPrice") == {"public": both, "market": both}
    assert bookless("trade", "contractInfo") == {"public": both, "market": []}
    assert bookless("contractInfo") == {"market": both}, "they have no stream but that of all"
