"""What is published by rule, and how it follows the venue's list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from outcrier.capture.format import read_capture
from outcrier.errors import ConfigurationError
from outcrier.feeder.choice import Choice
from outcrier.feeder.selection import LIMITED_PER_CATEGORY, covers, matching
from outcrier.instruments import Catalogue, Instrument, Trading
from outcrier.symbols import Kind
from outcrier.venues import VENUES


@pytest.fixture(scope="module")
def listed(data_dir: Path) -> list[Instrument]:
    """USD-M as it was listed in 2021: perpetuals and two dated futures."""
    path = data_dir / "captures/binance_usdm/usdm_instruments.jsonl.gz"
    return VENUES["binance_usdm"].parse_instruments(next(read_capture(path)).data)[0]


def catalogue(instruments: Sequence[Instrument]) -> Catalogue:
    return Catalogue("binance_usdm", instruments)


def by_native(instruments: Sequence[Instrument]) -> dict[str, Instrument]:
    return {each.native_symbol: each for each in instruments}


def test_a_rule_names_kind_and_quote(listed: list[Instrument]) -> None:
    known = catalogue(listed)
    trading = [each for each in listed if each.status in {Trading.OPEN, Trading.PRE_OPEN}]
    assert matching(known, "*") == trading
    assert matching(known, "perpetual:USDT") == [
        each for each in trading if each.kind is Kind.PERPETUAL and each.quote == "USDT"
    ]
    busd = matching(known, "*:BUSD")
    assert {each.quote for each in busd} == {"BUSD"}
    assert matching(known, "future:*") == [each for each in trading if each.kind is Kind.FUTURE]
    assert matching(known, "BTC/USDT:PERP") == [known.find("BTCUSDT")]
    with pytest.raises(ConfigurationError, match=r"a rule of no kind: kinds are \*, spot, perp"):
        matching(known, "perp:USDT")


def test_a_rule_follows_listings_and_drops_what_has_ended(listed: list[Instrument]) -> None:
    perpetuals = [each for each in listed if each.kind is Kind.PERPETUAL and each.status == Trading.OPEN]
    before, newcomer = perpetuals[:-1], perpetuals[-1]
    choice = Choice(["perpetual:USDT", "perpetual:BUSD"], limited=False)
    present = by_native(before)
    step = choice.step(catalogue(before), present)
    assert (step.added, step.removed) == ((), ())
    step = choice.step(catalogue(perpetuals), present)
    assert (step.added, step.removed) == ((newcomer,), ())
    ended = [msgspec.structs.replace(before[0], status=Trading.CLOSED), *before[2:]]
    step = choice.step(catalogue(ended), present)
    assert step.added == ()
    assert set(step.removed) == {before[0].native_symbol, before[1].native_symbol}, "closed, and gone"
    paused = [msgspec.structs.replace(before[0], status=Trading.HALTED), *before[1:]]
    assert choice.step(catalogue(paused), present).removed == (), "a pause ends nothing"


def test_what_is_named_stays_though_it_has_ended(listed: list[Instrument]) -> None:
    btc, eth = (catalogue(listed).find(native) for native in ("BTCUSDT", "ETHUSDT"))
    for name in ("BTC/USDT:PERP", "btcusdt", "BTC/USDT:PERP@binance_usdm"):
        choice = Choice([name], limited=False)
        step = choice.step(catalogue([eth]), by_native([btc, eth]))
        assert (step.added, step.removed) == ((), ("ETHUSDT",))


def test_the_operator_adds_and_removes(listed: list[Instrument]) -> None:
    known = catalogue(listed)
    btc, eth = known.find("BTCUSDT"), known.find("ETHUSDT")
    choice = Choice(["BTCUSDT"], limited=False)
    choice.add(known, ["ETH/USDT:PERP"])
    assert choice.step(known, by_native([btc])).added == (eth,)
    choice.remove(known, ["BTC/USDT:PERP"])
    assert choice.symbols == ["ETH/USDT:PERP"], "however it was named"
    assert choice.step(known, by_native([btc, eth])).removed == ("BTCUSDT",)
    choice.add(known, ["perpetual:USDT"])
    step = choice.step(known, by_native([btc, eth]))
    assert "BTCUSDT" not in step.removed, "added again by the rule"
    choice.remove(known, ["ETHUSDT"])
    assert choice.step(known, by_native([btc, eth])).removed == ("ETHUSDT",), "whatever rule names it"
    choice.remove(known, ["perpetual:USDT"])
    assert set(choice.step(known, by_native([btc])).removed) == {"BTCUSDT"}
    choice.replace(["ETHUSDT"])
    assert choice.step(known, {}).added == (eth,), "what was taken out is forgotten"


@pytest.mark.parametrize("change", [Choice.add, Choice.remove])
def test_what_names_nothing_changes_nothing(
    change: Callable[[Choice, Catalogue, list[str]], None], listed: list[Instrument]
) -> None:
    known = catalogue(listed)
    choice = Choice(["BTCUSDT"], limited=False)
    with pytest.raises(ConfigurationError, match=r"unknown symbol 'BTCUSTD' on binance_usdm .*mean BTCUSDT"):
        change(choice, known, ["ETHUSDT", "BTCUSTD"])
    assert choice.symbols == ["BTCUSDT"]
    assert choice.step(known, {}).added == (known.find("BTCUSDT"),)


def test_the_limited_mode_fills_a_place_that_becomes_free(listed: list[Instrument]) -> None:
    known = catalogue(listed)
    choice = Choice(["perpetual:USDT"], limited=True)
    first = choice.step(known, {}).added
    assert len(first) == LIMITED_PER_CATEGORY
    assert choice.step(known, by_native(first)).added == ()
    choice.remove(known, [first[0].native_symbol])
    step = choice.step(known, by_native(first))
    assert step.removed == (first[0].native_symbol,)
    assert len(step.added) <= 1
    assert all(covers("perpetual:USDT", each) and each not in first for each in step.added)
