"""Text lines: the grammar of docs/wire-format.md, whatever the names, and when which line is said."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcrier.feeder.text_lines import AT_ONCE_NS, EVERY_NS, TextLines, VenueCounts, VenueTrouble
from outcrier.text_lines import KINDS, LINE_BYTES_MAX, ConnLine, DataLine, ErrorLine, clean_exchange, parse

# As the specification writes them.
DATA = re.compile(
    r"^[A-Z0-9_]{1,16}\|[A-Za-z0-9_.:/-]{1,40}\|(trade|book|bbo|ticker|order|candle|deriv|status|all)"
    r"\|[0-9]{1,20}(,[0-9]{1,20}){0,7}\|[0-9]{13}$"
)
CONN = re.compile(r"^CONN\|[A-Z0-9_]{1,16}\|[0-9]+\|[0-9]+\|[0-9]+$")
ERROR = re.compile(r"^ERROR\|[A-Z0-9_]{1,16}\|[A-Za-z0-9_.:/-]{1,40}\|[0-9]{13}\|[ -{}~]{1,200}$")

WALL_MS = 1_763_690_000_123


def test_the_lines_of_the_specification() -> None:
    trades = DataLine("BINANCE", "spot", "trade", (184467, 184467, 0, 0), WALL_MS)
    assert trades.encode() == b"BINANCE|spot|trade|184467,184467,0,0|1763690000123\n"
    assert ConnLine("UPBIT", 38, 2).encode() == b"CONN|UPBIT|38|2|40\n"
    assert parse(trades.encode()) == trades
    assert parse(b"CONN|UPBIT|38|2|40\n") == ConnLine("UPBIT", 38, 2)
    error = ErrorLine("BINANCE", "spot", WALL_MS, "conn=2 lost: closed 1006")
    assert error.encode() == b"ERROR|BINANCE|spot|1763690000123|conn=2 lost: closed 1006\n"
    assert parse(error.encode()) == error


@given(
    exchange=st.text(),
    name=st.text(),
    kind=st.sampled_from(KINDS),
    counts=st.lists(st.integers(min_value=0), min_size=0, max_size=12),
    wall_ms=st.integers(),
)
def test_no_name_breaks_a_line(exchange: str, name: str, kind: str, counts: list[int], wall_ms: int) -> None:
    datagram = DataLine(exchange, name, kind, tuple(counts), wall_ms).encode()
    assert len(datagram) <= LINE_BYTES_MAX
    assert datagram[0] != 0xFB
    text = datagram.decode("ascii")
    assert text.endswith("\n")
    assert DATA.match(text[:-1])
    assert text.count("\n") == 1
    line = parse(datagram)
    assert isinstance(line, DataLine)
    assert line.kind == kind
    conn = ConnLine(exchange, 3, 4).encode()
    assert CONN.match(conn.decode("ascii")[:-1])
    assert parse(conn) == ConnLine(clean_exchange(exchange), 3, 4)
    error = ErrorLine(exchange, name, wall_ms, 3 * exchange).encode()
    assert len(error) <= LINE_BYTES_MAX
    assert ERROR.match(error.decode("ascii")[:-1])
    assert isinstance(parse(error), ErrorLine)


def test_hostile_names_are_cleaned_at_the_source() -> None:
    assert DataLine("bi|nance\r\n", "sp\x1b[2Jot", "all", (1,), WALL_MS).encode() == (
        b"BI_NANCE__|sp__2Jot|all|1|1763690000123\n"
    )
    assert clean_exchange("conn") == "CONN_"
    assert clean_exchange("error") == "ERROR_"
    assert ErrorLine("A", "b", WALL_MS, "1|2\x1b[2J\n\u20ac" + 300 * "x").encode() == (
        b"ERROR|A|b|1763690000123|1_2_[2J__" + 191 * b"x" + b"\n"
    )
    assert clean_exchange("") == "_"


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        b"\n",
        b"BINANCE|spot|trade|1|1763690000123",
        b"BINANCE|spot|trade|1|1763690000123\r\n",
        b"BINANCE|spot|trade|1|176369000012\n",
        b"BINANCE|spot|trades|1|1763690000123\n",
        b"BINANCE|spot|trade||1763690000123\n",
        b"BINANCE|spot|trade|1,|1763690000123\n",
        b"BINANCE|spot|trade|1,1,1,1,1,1,1,1,1|1763690000123\n",
        b"BINANCE|BTC USDT|trade|1|1763690000123\n",
        b"binance|spot|trade|1|1763690000123\n",
        b"CONN|spot|trade|1|1763690000123\n",
        b"CONN|UPBIT|38|2|41\n",
        b"ERROR|UPBIT|spot|1763690000123|\n",
        b"ERROR|UPBIT|spot|1763690000123|a|b\n",
        b"ERROR|UPBIT|spot|1763690000123|" + 201 * b"x" + b"\n",
        b"ERROR|UPBIT|spot|17|text\n",
        b"CONN|UPBIT|38|-2|36\n",
        "CONN|UPBIT|٣|2|5\n".encode(),
        b"\xfb\x01\x13\x00" + b"\n" * 90,
        b"A|b|all|1|1763690000123\nA|b|all|1|1763690000123\n",
        b"A|" + b"b" * 600 + b"|all|1|1763690000123\n",
    ],
)
def test_what_is_no_line_is_none(datagram: bytes) -> None:
    assert parse(datagram) is None


def test_readers_ignore_counts_beyond_those_they_know() -> None:
    line = parse(b"A|b|all|1,2,3,4,5,6,7,8|1763690000123\n")
    assert isinstance(line, DataLine)
    assert line.counts[:6] == (1, 2, 3, 4, 5, 6)


def venue(product: str, *, stale: int = 0, connected: int = 2, received: int = 5) -> VenueCounts:
    counts = (received, received, 0, 0)
    return VenueCounts(
        exchange="BINANCE",
        product=product,
        kinds={"trade": counts, "book": counts, "all": counts},
        stale=stale,
        reconnects=1,
        connected=connected,
        connections=3,
    )


def said(lines: list[bytes]) -> list[str]:
    found = []
    for line in lines:
        parsed = parse(line)
        assert parsed is not None, line
        found.append(f"{parsed.name}/{parsed.kind}" if isinstance(parsed, DataLine) else "CONN")
    return found


def test_every_line_is_said_once_a_second_and_message_counts_change_nothing() -> None:
    lines = TextLines()
    first = lines.due(0, WALL_MS, [venue("spot"), venue("usdm")])
    assert said(first) == [
        *("spot/trade", "spot/book", "spot/all", "usdm/trade", "usdm/book", "usdm/all", "CONN")
    ]
    assert b"BINANCE|spot|trade|5,5,0,0|1763690000123\n" in first
    assert b"BINANCE|spot|book|5,5,0,0,0,1|1763690000123\n" in first
    assert first[-1] == b"CONN|BINANCE|4|2|6\n"
    later = [venue("spot", received=9), venue("usdm", received=9)]
    assert lines.due(EVERY_NS - 1, WALL_MS, later) == []
    assert len(lines.due(EVERY_NS, WALL_MS, later)) == 7


def test_a_connection_or_a_stale_book_is_told_at_once_but_ten_times_a_second_at_most() -> None:
    lines = TextLines()
    lines.due(0, WALL_MS, [venue("spot"), venue("usdm")])
    stale = [venue("spot", stale=1), venue("usdm")]
    assert lines.due(AT_ONCE_NS - 1, WALL_MS, stale) == []
    assert said(lines.due(AT_ONCE_NS, WALL_MS, stale)) == ["spot/book", "spot/all"]
    assert lines.due(AT_ONCE_NS + 1, WALL_MS, stale) == []
    lost = [venue("spot", stale=1), venue("usdm", connected=1)]
    now_ns = 2 * AT_ONCE_NS
    assert said(lines.due(now_ns, WALL_MS, lost)) == ["usdm/book", "usdm/all", "CONN"]
    back = [venue("spot"), venue("usdm")]
    assert "CONN" in said(lines.due(now_ns + AT_ONCE_NS, WALL_MS, back))


def test_the_last_error_is_said_once_a_second_and_a_new_one_at_once_with_or_without_a_session() -> None:
    lines = TextLines()
    refused = VenueTrouble("BINANCE", "usdm", WALL_MS, "instruments HTTP 451")
    said_first = b"ERROR|BINANCE|usdm|1763690000123|instruments HTTP 451\n"
    assert lines.due(0, WALL_MS, [], [refused]) == [said_first]
    assert lines.due(EVERY_NS - 1, WALL_MS, [], [refused]) == []
    assert lines.due(EVERY_NS, WALL_MS, [], [refused]) == [said_first]
    # The same text of a later time is another error.
    again = VenueTrouble("BINANCE", "usdm", WALL_MS + 1, "instruments HTTP 451")
    assert lines.due(EVERY_NS + AT_ONCE_NS - 1, WALL_MS, [], [again]) == []
    assert lines.due(EVERY_NS + AT_ONCE_NS, WALL_MS, [], [again]) == [
        b"ERROR|BINANCE|usdm|1763690000124|instruments HTTP 451\n"
    ]
