"""Canonical symbols: one text for one instrument, and back."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from outcrier.capture.format import read_capture
from outcrier.errors import ConfigurationError
from outcrier.instruments import Catalogue, Instrument, decimal_exponent, mantissa, to_core_kwargs
from outcrier.symbols import Kind, Symbol, is_asset, parse_symbol, split_venue
from outcrier.venues import VENUES

EXAMPLES = {
    "BTC/USDT": Symbol(Kind.SPOT, "BTC", "USDT"),
    "BTC/USDT:PERP": Symbol(Kind.PERPETUAL, "BTC", "USDT", "USDT"),
    "BTC/USD:BTC:PERP": Symbol(Kind.PERPETUAL, "BTC", "USD", "BTC"),
    "BTC/USD:BTC:20210924": Symbol(Kind.FUTURE, "BTC", "USD", "BTC", "20210924"),
    "BTC/USDT:20210924": Symbol(Kind.FUTURE, "BTC", "USDT", "USDT", "20210924"),
    "BTC/USD:BTC:20260327-70000.5-C": Symbol(Kind.OPTION, "BTC", "USD", "BTC", "20260327", "70000.5", "C"),
    "SPX:INDEX": Symbol(Kind.INDEX, "SPX"),
    "005930": Symbol(Kind.EQUITY, "005930"),
    "币安人生/USDT": Symbol(Kind.SPOT, "币安人生", "USDT"),
}


@pytest.mark.parametrize(("text", "symbol"), EXAMPLES.items())
def test_a_symbol_and_its_text_are_one(text: str, symbol: Symbol) -> None:
    assert parse_symbol(text) == symbol
    assert str(symbol) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "BTC/",
        "/USDT",
        "BTC/USDT/EUR",
        "BTC/USDT:",
        "BTC/USDT:USDT:PERP",
        "BTC/USD:BTC",
        "BTC/USD:BTC:2021",
        "BTC/USD:BTC:20210924-7-X",
        "BTC/USDT@binance",
        "BTC /USDT",
        "SPX:PERP",
        "BTC/USDT:PERP:PERP:PERP",
        "A" * 33,
    ],
)
def test_what_is_no_symbol_is_refused_with_what_one_looks_like(text: str) -> None:
    with pytest.raises(ConfigurationError, match="BTC/USDT:PERP"):
        parse_symbol(text)


def test_the_venue_stands_behind_the_last_at_sign() -> None:
    assert split_venue("BTC/USDT:PERP@binance_usdm") == ("BTC/USDT:PERP", "binance_usdm")
    assert split_venue("BTC/USDT") == ("BTC/USDT", None)


def test_assets_fit_the_wire() -> None:
    assert is_asset("1000SHIB")
    assert is_asset("A" * 16)
    assert not is_asset("A" * 17)
    assert not is_asset("币" * 6)
    assert not any(map(is_asset, ("", "A/B", "A:B", "A@B", "A B", "A|B", "A\n")))


@pytest.mark.parametrize(("venue", "count"), [
    ("binance", 1695), ("binance_us", 121), ("binance_tr", 2183),
    ("binance_usdm", 122), ("binance_coinm", 36),
])  # fmt: skip
def test_every_listed_instrument_has_one_name_each_way(venue: str, count: int, data_dir: Path) -> None:
    (path,) = (data_dir / "captures" / venue).glob("*_instruments*")
    body = next(read_capture(path)).text
    assert body is not None
    instruments, faults = VENUES[venue].parse_instruments(body)
    assert faults == []
    listed = [entry["symbol"] for entry in json.loads(body)["symbols"]]
    assert [each.native_symbol for each in instruments] == listed
    assert len(instruments) == count
    catalogue = Catalogue(venue, instruments)
    assert len({each.symbol for each in instruments}) == count
    for instrument in instruments:
        assert catalogue.by_symbol(instrument.symbol) is instrument
        assert catalogue.by_native(instrument.native_symbol) is instrument
        assert catalogue.find(instrument.full_symbol) is instrument
        parsed = parse_symbol(instrument.symbol)
        assert parsed.kind == instrument.kind
        assert (parsed.base, parsed.quote, parsed.settle) == (
            instrument.base,
            instrument.quote,
            instrument.settle,
        )


def _instrument(native: str, symbol: str) -> Instrument:
    return Instrument(
        venue="binance",
        native_symbol=native,
        symbol=symbol,
        kind=Kind.SPOT,
        base="",
        quote="",
        settle="",
        tick_size=Decimal("0.010"),
        lot_size=Decimal("0.00001000"),
        min_qty=Decimal("0.000015"),
    )


def test_a_person_names_an_instrument_in_either_way_and_any_case() -> None:
    bitcoin = _instrument("BTCUSDT", "BTC/USDT")
    catalogue = Catalogue("binance", [bitcoin, _instrument("ETHUSDT", "ETH/USDT")])
    for text in ("BTC/USDT", "btc/usdt", "BTC/USDT@binance", "BTCUSDT", "btcusdt", " BTCUSDT "):
        assert catalogue.find(text) is bitcoin
    with pytest.raises(ConfigurationError, match="did you mean BTC/USDT"):
        catalogue.find("BTC/USTD")
    with pytest.raises(ConfigurationError, match="not of venue binance"):
        catalogue.find("BTC/USDT@binance_usdm")
    with pytest.raises(ValueError, match="listed twice"):
        Catalogue("binance", [bitcoin, bitcoin])


def test_exponents_hold_every_digit_and_no_trailing_zero() -> None:
    assert decimal_exponent(Decimal("0.00010000"), Decimal(10)) == -4
    assert decimal_exponent(Decimal(100)) == 0
    assert decimal_exponent(Decimal(0)) == 0
    assert mantissa(Decimal("61837.63"), -2) == 6_183_763
    assert mantissa(Decimal("-1E-8"), -8) == -1
    assert mantissa(Decimal(100), 1) == 10
    with pytest.raises(ValueError, match="more digits"):
        mantissa(Decimal("0.001"), -2)
    with pytest.raises(ValueError, match="64 bits"):
        mantissa(Decimal(2**63), 0)
    values = to_core_kwargs(_instrument("BTCUSDT", "BTC/USDT"), 7)
    assert (values["price_exp"], values["tick_size"]) == (-2, 1)
    assert (values["qty_exp"], values["lot_size"], values["min_qty"]) == (-6, 10, 15)
    assert (values["contract_exp"], values["contract_size"], values["instrument"]) == (0, 1, 7)
