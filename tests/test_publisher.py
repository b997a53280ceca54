"""The publisher beside its frames: what is kept, served again, logged, and what consumers ask of a feed."""

from __future__ import annotations

import selectors
import socket
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import wire_reference as wire
from outcrier import _core
from outcrier.capture.venue_replay import open_feed
from outcrier.venues.binance import BINANCE

SESSION = 90_000_001
PATIENCE_S = 20.0


def feed_of(publisher: _core.Publisher, instruments: int = 3) -> _core.Feed:
    """A feed of instruments without books."""
    feed = open_feed(publisher, BINANCE, session=SESSION, publisher_id=7, first_ns=1)
    for number in range(1, instruments + 1):
        feed.add_instrument(
            instrument=number,
            native_symbol=f"QUIET{number}",
            symbol=f"QUIET/{number}",
            kind=1,
            price_exp=-2,
            qty_exp=-2,
            tick_size=1,
            lot_size=1,
            min_qty=1,
            contract_size=1,
            contract_exp=0,
            qty_unit=1,
            book_proof=1,
            base="QUIET",
            quote=str(number),
            settle=str(number),
            has_book=False,
            recv_ns=1,
        )
    return feed


def frames(publisher: _core.Publisher, plane: int = 0) -> list[wire.Frame]:
    """What left on a plane since the last call."""
    return [wire.decode(datagram) for number, datagram in publisher.take() if number == plane]


def test_frames_in_memory_are_forgotten_beyond_a_limit() -> None:
    kept, short = _core.Publisher.memory(), _core.Publisher.memory(bytes_max=1)
    for publisher in (kept, short):
        feed = feed_of(publisher, instruments=4)
        assert feed.last_seq() == 5
    assert [frame.header["channel_seq"] for frame in frames(kept)] == [1, 2, 3, 4, 5]
    assert [frame.header["channel_seq"] for frame in frames(short)] == [5]
    assert frames(short) == []
    assert short.counters()["frames"] == 5


def test_heartbeats_tell_where_lost_frames_can_be_had() -> None:
    publisher = _core.Publisher.memory(retransmit=True)
    udp, tcp = publisher.retransmit_ports()
    assert udp > 0
    assert tcp > 0
    feed = feed_of(publisher)
    feed.tick()
    beats = [frame for frame in frames(publisher) if frame.msg == "HEARTBEAT"]
    root = beats[-1].root
    assert (root["retx_ipv4"], root["retx_udp_port"], root["replay_tcp_port"]) == (0x7F000001, udp, tcp)
    assert root["oldest_retx_seq"] == 1
    counters = publisher.counters()
    assert counters["store_frames"] == 4, "SESSION_START and three definitions"
    assert _core.Publisher.memory().retransmit_ports() == (0, 0)
    assert _core.Publisher.memory().wakeup_fileno() == -1


def units(stream: socket.socket) -> Iterator[bytes]:
    """Units of a TCP stream, without those that only keep it alive."""
    waiting = b""
    while True:
        while len(waiting) < 2 or len(waiting) < 2 + struct.unpack_from("<H", waiting)[0]:
            more = stream.recv(65_536)
            assert more, "closed"
            waiting += more
        (length,) = struct.unpack_from("<H", waiting)
        if length:
            yield waiting[2 : 2 + length]
        waiting = waiting[2 + length :]


def snap_request(session: int, wants: list[dict[str, int]]) -> bytes:
    header = {"channel": BINANCE.number, "session": session, "venue": BINANCE.number, "channel_seq": 5}
    return wire.encode("SNAP_REQUEST", header, {"consumer_id": 9, "cookie": 0}, wants)


@pytest.mark.parametrize(
    ("wants", "expected"), [([], [1, 2, 3]), ([{"instrument": 2, "kinds": 15}], [2])], ids=["all", "one"]
)
def test_an_image_is_cut_when_a_consumer_rings(wants: list[dict[str, int]], expected: list[int]) -> None:
    publisher = _core.Publisher.memory(retransmit=True)
    feed = feed_of(publisher)
    request = snap_request(SESSION, wants)
    address = ("127.0.0.1", publisher.retransmit_ports()[1])
    with (
        closing(socket.create_connection(address, PATIENCE_S)) as stream,
        selectors.DefaultSelector() as bell,
    ):
        bell.register(publisher.wakeup_fileno(), selectors.EVENT_READ)
        stream.sendall(struct.pack("<H", len(request)) + request)
        assert bell.select(PATIENCE_S), "nobody rang"
        while feed.tick() == 0:  # An image under way asks for the next call at once.
            pass
        answer = units(stream)
        reply = wire.decode(next(answer))
        assert (reply.msg, reply.root["code"]) == ("RETX_REPLY", 0)
        image: list[wire.Frame] = []
        while not image or image[-1].msg != "CYCLE_END":
            image.append(wire.decode(next(answer)))
    assert [frame.header["channel_seq"] for frame in image] == list(range(1, len(image) + 1))
    defined = [frame.header["instrument"] for frame in image if frame.msg == "INSTRUMENT_DEF"]
    assert defined == expected
    assert image[-1].root["n_instruments"] == len(expected)
    assert feed.counters()["image_frames"] == len(image)


def test_a_wish_for_another_session_is_turned_away() -> None:
    publisher = _core.Publisher.memory(retransmit=True)
    feed = feed_of(publisher)
    request = snap_request(SESSION - 1, [])
    address = ("127.0.0.1", publisher.retransmit_ports()[1])
    with closing(socket.create_connection(address, PATIENCE_S)) as stream:
        stream.sendall(struct.pack("<H", len(request)) + request)
        reply = wire.decode(next(units(stream)))
    assert (reply.msg, reply.root["code"]) == ("RETX_REPLY", 4)
    feed.tick()
    assert feed.counters()["image_frames"] == 0


def test_what_left_is_logged_and_signed(tmp_path: Path) -> None:
    publisher = _core.Publisher.memory(log_dir=str(tmp_path / "log"), manifest_key="ab" * 32)
    feed = feed_of(publisher)
    sent = [frame.header["channel_seq"] for frame in frames(publisher)]
    assert sent == [1, 2, 3, 4]
    feed.close()
    assert publisher.counters()["log_dropped"] == 0
    assert publisher.log_error() is None
    del feed, publisher  # Ends the segment.
    logged = b"".join(path.read_bytes() for path in sorted((tmp_path / "log").glob("*.log")))
    for number in range(1, 4):
        assert f"QUIET/{number}".encode() in logged


@pytest.mark.parametrize(
    ("options", "said"),
    [({"keys": "ab"}, "line 1"), ({"log_dir": "/proc/nowhere"}, "/proc/nowhere")],
    ids=["keys", "log"],
)
def test_what_cannot_be_is_said_at_once(options: dict[str, Any], said: str) -> None:
    with pytest.raises((ValueError, OSError), match=said):
        _core.Publisher.memory(**options)


def test_frames_are_signed_with_the_first_key() -> None:
    publisher = _core.Publisher.memory(keys="1: " + "ab" * 32)
    feed = feed_of(publisher)
    feed.tick()
    told = frames(publisher)
    assert all(frame.header["flags"] & 2 for frame in told)
    assert told[-1].root["key_id"] == 1


def test_text_lines_of_a_memory_publisher_are_kept() -> None:
    publisher = _core.Publisher.memory()
    assert publisher.send_text(b"CONN|UPBIT|1|0|1\n")
    assert publisher.take_texts() == [b"CONN|UPBIT|1|0|1\n"]
    assert publisher.take_texts() == []
    assert publisher.listen([1], 10**12) == [], "nobody is heard, and nobody waited for"
    assert publisher.superseded() == []
