"""Every number that a venue printed in any capture, against Python's `decimal`."""

from __future__ import annotations

import gzip
import re
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcrier import _core

NUMBER = re.compile(rb'(?<=[\[,:" ])-?\d+(?:\.\d+)?(?:[eE][+-]?\d{1,3})?(?=[\],}" ])')
"""A whole JSON number or quoted number: hexadecimal ids and times are none."""
I64_MAX = 2**63 - 1
EXACT = Context(prec=10_000, Emax=MAX_EMAX, Emin=MIN_EMIN)
"""Wide enough that nothing printed in a frame is rounded."""


def digits_needed(value: Decimal) -> int:
    """The coarsest exponent at or below 0 that holds the value."""
    exponent = 0 if value == 0 else EXACT.normalize(value).as_tuple().exponent
    assert isinstance(exponent, int)
    return min(exponent, 0)


def check(text: str) -> None:
    value = Decimal(text)
    exp = digits_needed(value)
    if exp < -128:
        return
    fits = value == 0 or abs(value.adjusted()) < 400
    mantissa = int(EXACT.scaleb(value, -exp)) if fits and value else 0 if fits else I64_MAX + 1
    if abs(mantissa) > I64_MAX:
        with pytest.raises(ValueError, match=r"does not fit 64 bits|has more digits"):
            _core.parse_decimal(text, exp)
        return
    assert _core.parse_decimal(text, exp) == mantissa, text
    if exp < 0:
        with pytest.raises(ValueError, match=rf"needs 10\*\*{exp}$"):
            _core.parse_decimal(text, exp + 1)
    if exp - 2 >= -128 and abs(mantissa) * 100 <= I64_MAX:
        assert _core.parse_decimal(text, exp - 2) == mantissa * 100, text


def test_every_number_in_every_capture_is_exact(data_dir: Path) -> None:
    checked = 0
    for path in sorted((data_dir / "captures").rglob("*.jsonl.gz")):
        with gzip.open(path, "rb") as file:
            numbers = {text for line in file for text in NUMBER.findall(line)}
        for number in numbers:
            check(number.decode())
        checked += len(numbers)
    assert checked > 100_000


@given(st.decimals(allow_nan=False, allow_infinity=False), st.sampled_from(["{}", "{:f}", "{:E}"]))
def test_any_decimal_is_exact_or_refused(value: Decimal, form: str) -> None:
    if -60 < value.adjusted() < 60:
        check(form.format(value))


@pytest.mark.parametrize(
    "junk",
    [
        "",
        "-",
        ".",
        "1.",
        ".e1",
        "1e",
        "1e+",
        "0x1",
        "1_0",
        " 1",
        "1 ",
        "NaN",
        "Infinity",
        "1,5",
        "--1",
        "+-1",
    ],
)
def test_junk_is_refused(junk: str) -> None:
    with pytest.raises(ValueError, match="is no decimal number"):
        _core.parse_decimal(junk, -2)


@pytest.mark.parametrize("text", ["9223372036854775808", "-9223372036854775808", "1e400", "9" * 5_000])
def test_what_does_not_fit_64_bits_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="does not fit 64 bits"):
        _core.parse_decimal(text, 0)
