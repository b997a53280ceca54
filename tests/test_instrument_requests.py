"""Instrument lists of several requests: pages, and what can be asked only when the list is there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import cast

from outcrier.feeder.http import Answer, HttpClient
from outcrier.feeder.rest import InstrumentList, VenueRest
from outcrier.feeder.snapshots import WeightPool
from outcrier.venues import Venue
from outcrier.venues.coinbase import COINBASE
from outcrier.venues.upbit import POLICIES_AT_ONCE, UPBIT


class Played:
    """Answers by URL; what was asked, in order."""

    def __init__(self, answers: Mapping[str, str]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def get(self, url: str) -> Answer:
        self.asked.append(url)
        return Answer(self.answers[url].encode(), {})


def listed(venue: Venue, answers: Mapping[str, str]) -> tuple[InstrumentList, list[str]]:
    http = Played({venue.rest_url + target: body for target, body in answers.items()})
    rest = VenueRest(venue, "", cast("HttpClient", http), WeightPool(venue.limits.weight_per_minute))
    return asyncio.run(rest.instruments()), http.asked


def test_ticks_are_asked_for_when_the_markets_are_known() -> None:
    markets = [f"KRW-A{number}" for number in range(POLICIES_AT_ONCE + 1)]
    parts = markets[:POLICIES_AT_ONCE], markets[POLICIES_AT_ONCE:]
    policies = [
        json.dumps([{"market": market, "tick_size": "0.5"} for market in part if market != "KRW-A7"])
        for part in parts
    ]
    targets = [f"/v1/orderbook/instruments?markets={'%2C'.join(part)}" for part in parts]
    answers = {"/v1/market/all?is_details=true": json.dumps([{"market": market} for market in markets])}
    found, asked = listed(UPBIT, answers | dict(zip(targets, policies, strict=True)))
    assert asked == [UPBIT.rest_url + target for target in (*answers, *targets)]
    ticks = {each.native_symbol: each.tick_size for each in found.catalogue}
    assert ticks == {market: Decimal("0.5") for market in markets} | {"KRW-A7": Decimal(0)}
    assert found.faults == ()


def test_a_list_is_asked_for_page_by_page() -> None:
    path = "/api/v3/brokerage/market/products"
    first, second, third = (
        COINBASE.unlisted(name, Decimal("0.01"), Decimal("0.01")) for name in ("A-USD", "B-USD", "C-USD")
    )
    more = '"pagination":{"has_next":true,"next_cursor":"x"}'
    answers = {
        f"{path}?product_type=SPOT": f'{{"products":[{first}],{more}}}',
        f"{path}?product_type=SPOT&cursor=x": f'{{"products":[{second}],"pagination":{{"has_next":false}}}}',
        f"{path}?product_type=FUTURE": f'{{"products":[{third}],"pagination":null}}',
    }
    found, asked = listed(COINBASE, answers)
    assert asked == [COINBASE.rest_url + target for target in answers]
    assert [each.native_symbol for each in found.catalogue] == ["A-USD", "B-USD", "C-USD"]
