"""What `websocket_monitor` makes of what feeders say: frames in, health out, at times that are arguments."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path

import pytest

from health_scene import MS, NUMBER, SECOND, START, USDM, Scene
from outcrier import _core
from outcrier.feeder.health import publish_connection
from outcrier.monitor.health import ConnectionHealth, HealthEvent, VenueHealth
from outcrier.monitor.health_channel import CONNECTIONS_MAX, Channel
from outcrier.monitor.health_lines import lines as plain
from outcrier.monitor.health_model import EVENTS_KEPT
from outcrier.monitor.health_rules import SILENT_NS, UNTOLD_NS
from outcrier.monitor.health_told import Rates
from outcrier.monitor.styles import clock
from outcrier.text_lines import ErrorLine
from outcrier.venues import venue_by_name
from wire_reference import crc32c

CaptureFinder = Callable[[str], Path]


def conn(venue: VenueHealth, conn_id: int) -> ConnectionHealth:
    (found,) = [each for each in venue.connections if each.conn_id == conn_id]
    return found


@pytest.fixture
def scene(capture: CaptureFinder) -> Scene:
    """Two connections that bring 40 and 60 messages a second; heard for three seconds."""
    scene = Scene(capture(USDM))
    scene.hear(scene.frames())
    for _ in range(3):
        scene.drivers[1].machine.received(scene.now + SECOND, 20, 2_000)
        scene.second(1, 2, messages=40)
    return scene


def test_a_venue_with_every_connection_and_book_is_live(scene: Scene) -> None:
    venue = scene.look()
    assert (venue.venue, venue.channel, venue.state, venue.why) == ("binance_usdm", NUMBER, "live", "")
    assert (venue.open, venue.planned, venue.reconnects, venue.subscriptions) == (2, 2, 0, 6)
    assert (venue.messages, venue.bytes) == (300, 30_000)
    assert (venue.messages_per_s, venue.bytes_per_s) == (100.0, 10_000.0)
    assert (venue.silence_ms, venue.expected_ms) == (0, 10_000)
    assert (venue.live, venue.total, venue.not_live) == (1, 1, ())
    assert (venue.session, venue.test, venue.replay, venue.is_whole) == (90_000_001, False, False, True)
    assert [(each.conn_id, each.state, each.messages_per_s) for each in venue.connections] == [
        (1, "open", 40.0),
        (2, "open", 60.0),
    ]
    assert not conn(venue, 1).since_known, "it was open when it was heard of first"
    assert scene.report().is_complete


def test_before_its_connections_are_told_a_venue_is_not_heard_and_then_degraded(
    capture: CaptureFinder,
) -> None:
    scene = Scene(capture(USDM))
    scene.hear(scene.frames())
    assert (scene.look().state, scene.look().why) == ("not heard", "connections not told yet")
    assert (scene.look().planned, scene.look().messages_per_s) == (None, None)
    assert not scene.report().is_complete
    beat(scene, UNTOLD_NS)
    venue = scene.look()
    assert (venue.state, venue.why) == ("degraded", "connections not told")


def beat(scene: Scene, after_ns: int) -> None:
    """Time passes, at whose end something is heard of the channel, but no CONN."""
    scene.now += after_ns
    scene.bench.feed.publish_status(scope=2, state=1, reason=0)
    scene.hear(scene.frames())


def test_a_lost_connection_is_shown_by_the_next_look_with_its_reason(scene: Scene) -> None:
    scene.look()
    scene.now += 200 * MS
    frames = scene.lose(2)
    scene.hear(frames)
    venue = scene.look()
    assert (venue.state, venue.why) == ("degraded", "1 of 2 connections")
    assert (venue.open, venue.planned) == (1, 2)
    lost = conn(venue, 2)
    status = _core.decode_frame(frames[0])["root"]
    assert (lost.state, lost.since_ns, lost.since_known) == ("lost", status["since_ts"], True)
    assert lost.last_status == "lost: closed 1006"
    assert venue.last_error == "conn=2 lost: closed 1006"
    told = scene.events()
    assert told[1:] == [("conn 2 lost: closed 1006", True), ("degraded: 1 of 2 connections", True)]
    scene.now += 300 * MS
    scene.regain(2)
    scene.hear(scene.frames())
    venue = scene.look()
    assert (venue.state, conn(venue, 2).state, conn(venue, 2).last_status) == ("live", "open", "subscribed")
    assert scene.events()[3:] == [("conn 2 subscribed", False), ("live", False)]
    scene.second(1, 2, messages=1)
    assert (scene.look().reconnects, conn(scene.look(), 2).reconnects) == (1, 1)


def test_without_the_status_conn_tells_the_loss_and_without_both_the_next_second_does(scene: Scene) -> None:
    status, told = scene.lose(2)
    scene.hear([told])
    venue = scene.look()
    assert (venue.why, conn(venue, 2).since_ns) == ("1 of 2 connections", START + scene.now)
    assert scene.events()[1] == ("conn 2 lost", True)
    # What comes late turns nothing back, and brings the reason.
    scene.hear([status])
    assert conn(scene.look(), 2).last_status == "lost: closed 1006"
    assert conn(scene.look(), 2).state == "lost"
    scene.lose(1)
    assert scene.look().open == 1, "nothing of it was heard"
    scene.second()
    assert (scene.look().state, scene.look().why) == ("down", "0 of 2 connections")


def test_a_status_of_a_loss_that_comes_after_the_connection_is_back_turns_nothing(scene: Scene) -> None:
    status, told = scene.lose(2)
    scene.hear([told])
    scene.look()
    scene.regain(2)
    subscribed, back = scene.frames()
    scene.hear([back, status])
    venue = scene.look()
    assert (conn(venue, 2).state, conn(venue, 2).last_status) == ("open", "lost: closed 1006")
    scene.hear([subscribed])
    assert conn(scene.look(), 2).last_status == "subscribed"
    texts = [text for text, _ in scene.events() if text.startswith("conn")]
    assert texts == ["conn 2 lost", "conn 2 open"]


def test_sums_that_fall_begin_a_new_rate() -> None:
    rates = Rates()
    assert rates.per_s() == (None, None)
    rates.add(0, 1_000, 90_000)
    rates.add(SECOND, 1_500, 95_000)
    assert rates.per_s() == (500.0, 5_000.0)
    rates.add(2 * SECOND, 30, 300)
    assert rates.per_s() == (None, None)
    rates.add(4 * SECOND, 70, 900)
    assert rates.per_s() == (20.0, 300.0)
    for second in range(5, 20):
        rates.add(second * SECOND, 70, 900)
    assert rates.per_s() == (0.0, 0.0)


def test_instruments_are_known_after_a_whole_snapshot_cycle_where_the_start_was_not_heard(
    scene: Scene,
) -> None:
    scene.look()
    (stream,) = scene.monitor.streams()
    heard: deque[HealthEvent] = deque()
    late = Channel(NUMBER, heard.append, heard)

    def is_whole(cycles: int) -> bool:
        return late.look(stream, [(1, 0, 1)], [], cycles, START + scene.now).is_whole

    # The first end that is heard may be that of a cycle whose beginning was not.
    assert [is_whole(cycles) for cycles in (7, 8, 9)] == [False, False, True]
    assert scene.look().is_whole, "the session was heard from its start"


def test_a_conn_that_comes_late_is_older_than_what_is_known(scene: Scene) -> None:
    publish_connection(scene.bench.feed, scene.drivers[1], scene.now)
    (before,) = scene.frames()
    status, told = scene.lose(2)
    scene.hear([status, before])
    assert conn(scene.look(), 2).state == "lost"
    scene.hear([told])
    assert [text for text, _ in scene.events()].count("conn 2 open") == 0


def test_a_feeder_that_dies_is_down_after_the_silence_that_the_protocol_names(scene: Scene) -> None:
    """The screen looks every 100 ms: it shows the death at most 450 ms after the last sign of life."""
    assert scene.look(SILENT_NS - 1).state == "live"
    venue = scene.look(SILENT_NS)
    assert (venue.state, venue.why, venue.heard_s) == ("down", "feeder silent for 0.3 s", 0.35)
    assert scene.events(SILENT_NS)[-1] == ("down: feeder silent for 0.3 s", True)
    # Rates are not known any more, and once CONN is overdue the silence grows.
    assert (venue.messages_per_s, conn(venue, 1).messages_per_s) == (None, None)
    venue = scene.look(UNTOLD_NS)
    assert venue.silence_ms == UNTOLD_NS // MS
    assert scene.report(UNTOLD_NS).is_complete, "it will tell no more"
    scene.now += UNTOLD_NS
    scene.second(1, 2, messages=1)
    assert scene.look().state == "live"
    assert scene.events()[-1] == ("live", False)


def test_an_old_heartbeat_that_is_heard_again_is_no_sign_of_life(scene: Scene) -> None:
    scene.bench.feed.tick()
    beats = [frame for frame in scene.frames() if frame[2] == 0x01]
    scene.hear(beats)
    scene.hear(beats, late_ns=SILENT_NS)
    assert scene.look(SILENT_NS).state == "down"


def test_the_end_of_a_session_and_the_next_one(scene: Scene) -> None:
    scene.bench.feed.close()
    scene.hear(scene.frames())
    assert (scene.look().state, scene.look().why) == ("down", "session ended")
    feed = _core.Feed(
        scene.bench.publisher,
        venue=NUMBER,
        channel=NUMBER,
        session=90_000_009,
        publisher_id=78,
        shapes=venue_by_name("binance_usdm").shapes_json,
        build="test",
        start_ns=1,
    )
    scene.hear(scene.frames())
    venue = scene.look()
    assert (venue.session, venue.connections, venue.total, venue.planned) == (90_000_009, (), 0, None)
    texts = [text for text, _ in scene.events()]
    assert texts[1:3] == ["down: session ended", "session 90000009 begins, after 90000001"]
    del feed


def test_a_connection_that_is_silent_beyond_what_is_expected_is_told_of(scene: Scene) -> None:
    for _ in range(10):
        scene.second(1, messages=40)
    venue = scene.look()
    assert (venue.state, conn(venue, 2).silence_ms, conn(venue, 2).is_quiet) == ("live", 10_000, False)
    scene.second(1, messages=40)
    venue = scene.look()
    assert (venue.state, venue.why) == ("degraded", "conn 2 silent for 11 s")
    assert (conn(venue, 2).silence_ms, conn(venue, 2).is_quiet) == (11_000, True)
    assert (conn(venue, 2).messages_per_s, venue.silence_ms) == (0.0, 0)
    # A lost one is not silent, it is lost.
    scene.hear(scene.lose(2))
    assert scene.look().why == "1 of 2 connections"


def test_health_that_is_told_no_more_is_overdue_while_the_channel_lives(scene: Scene) -> None:
    beat(scene, UNTOLD_NS - 1)
    assert scene.look().state == "live"
    beat(scene, 1)
    assert (scene.look().state, scene.look().why) == ("degraded", "connections not told for 2.5 s")


def test_books_that_are_not_live_are_counted_by_reason_and_listed(scene: Scene) -> None:
    index = scene.bench.indices["BTCUSDT"]
    scene.bench.feed.disconnected([index])
    frames = scene.frames()
    scene.hear(frames)
    venue = scene.look()
    assert (venue.state, venue.why) == ("degraded", "1 stale (disconnect)")
    assert (venue.live, venue.total) == (0, 1)
    assert [(each.state, each.reason, each.count) for each in venue.states] == [("stale", "disconnect", 1)]
    (status,) = [root for root in map(_core.decode_frame, frames) if root["msg"] == "STATUS"]
    (book,) = venue.not_live
    assert (book.symbol, book.state, book.reason) == ("BTCUSDT@binance_usdm", "stale", "disconnect")
    assert book.since_ns == status["root"]["since_ts"]
    report = scene.model.take(scene.monitor, mono_ns=scene.now, wall_ns=START + scene.now, listed=[7])
    assert report.venues[0].not_live == (), "only those of the channel that is looked at"


def test_instruments_that_are_closed_do_not_count(scene: Scene) -> None:
    scene.bench.feed.set_trading_status(scene.bench.indices["BTCUSDT"], 9)
    scene.hear(scene.frames())
    venue = scene.look()
    assert (venue.state, venue.live, venue.total) == ("live", 0, 0)
    assert [(each.state, each.count) for each in venue.states] == [("delisted", 1)]


def text(scene: Scene, line: ErrorLine) -> None:
    scene.monitor.text(line.encode(), START + scene.now)


def test_the_text_line_has_the_whole_reason_of_a_loss(scene: Scene) -> None:
    reason = "subscription not acknowledged"
    scene.hear(scene.lose(2, 1000, "x" * 20))
    assert scene.look().last_error == "conn=2 lost: closed 1000 xxxxx"[: len("conn=2 lost: ") + 16]
    at_ms = (START + scene.now) // MS
    line = ErrorLine("BINANCE", "usdm", at_ms, f"conn=2 lost: closed 1000 {'x' * 20}")
    for _ in range(3):
        text(scene, line)
        venue = scene.look()
    assert venue.last_error == f"conn=2 lost: closed 1000 {'x' * 20}"
    assert conn(venue, 2).last_status == f"lost: closed 1000 {'x' * 20}"
    assert scene.events()[1:] == [
        (f"conn 2 lost: closed 1000 {'x' * 20}", True),
        ("degraded: 1 of 2 connections", True),
    ]
    # A later one replaces it, once; the old one, said again, does not come back.
    scene.now += 3 * SECOND
    text(scene, ErrorLine("BINANCE", "usdm", at_ms + 3_000, reason))
    text(scene, line)
    text(scene, ErrorLine("BINANCE", "spot", at_ms + 3_000, "of another product"))
    (venue,) = [each for each in scene.report().venues if each.venue == "binance_usdm"]
    assert (venue.last_error, venue.last_error_ns) == (reason, START + scene.now)
    assert [each for each in scene.events() if each[0] == reason] == [(reason, True)]


def test_an_error_that_is_said_again_is_not_newer_than_a_loss(scene: Scene) -> None:
    line = ErrorLine("BINANCE", "usdm", (START + scene.now) // MS, "snapshot BTCUSDT: HTTP 503")
    text(scene, line)
    assert scene.look().last_error == "snapshot BTCUSDT: HTTP 503"
    scene.now += SECOND
    scene.hear(scene.lose(2))
    text(scene, line)
    assert scene.look().last_error == "conn=2 lost: closed 1006"
    assert [text for text, _ in scene.events()].count("snapshot BTCUSDT: HTTP 503") == 1


def test_a_venue_without_a_session_is_known_by_its_error_alone(capture: CaptureFinder) -> None:
    scene = Scene(capture(USDM))
    text(scene, ErrorLine("BINANCE", "usdm", (START + 5 * SECOND) // MS, "instruments HTTP 451"))
    venue = scene.look()
    assert (venue.venue, venue.channel, venue.state, venue.why) == (
        *("binance_usdm", 0, "not heard", "no frame heard"),
    )
    # A clock that is ahead is not believed.
    assert (venue.last_error, venue.last_error_ns) == ("instruments HTTP 451", START)
    scene.hear(scene.frames())
    scene.second(1, 2, messages=1)
    venue = scene.look()
    assert (venue.channel, venue.state, venue.last_error) == (NUMBER, "live", "instruments HTTP 451")
    assert [text for text, _ in scene.events()].count("instruments HTTP 451") == 1


def test_venues_asked_for_are_shown_heard_or_not_and_no_others(capture: CaptureFinder) -> None:
    scene = Scene(capture(USDM), venues=["kraken"])
    scene.hear(scene.frames())
    scene.hear(scene.lose(1))
    report = scene.report()
    assert [(venue.venue, venue.state) for venue in report.venues] == [("kraken", "not heard")]
    assert (report.events, report.is_complete) == ((), False)


def test_connections_are_followed_up_to_a_limit_and_forgotten_when_they_are_told_no_more(
    scene: Scene,
) -> None:
    for conn_id in range(10, 10 + CONNECTIONS_MAX):
        scene.bench.feed.publish_connection(
            conn_id=conn_id,
            connected=1,
            disconnected=0,
            reconnects=0,
            messages=0,
            bytes=0,
            subscriptions=0,
            silence_ms=0,
            expected_ms=0,
        )
    scene.hear(scene.frames())
    venue = scene.look()
    assert (len(venue.connections), venue.unlisted) == (CONNECTIONS_MAX, 2)
    assert (venue.open, venue.planned) == (2, 2), "the sum is the venue's own where the list differs"
    for _ in range(3):
        scene.second(1, 2, messages=1)
    assert [each.conn_id for each in scene.look().connections] == [1, 2]
    report = scene.report()
    assert (report.events[-1].text, len(report.events)) == ("conn 1007 gone", EVENTS_KEPT)
    assert report.events_ever == 1 + CONNECTIONS_MAX - 2


def test_two_publishers_in_one_session(scene: Scene) -> None:
    scene.bench.feed.tick()
    beat = next(frame for frame in scene.frames() if frame[2] == 0x01)
    other = beat[:66] + (99).to_bytes(8, "little") + beat[74:]
    checked = other[:62] + crc32c(other[:62] + other[66:]).to_bytes(4, "little") + other[66:]
    scene.hear([beat, checked])
    assert (scene.look().state, scene.look().why) == ("degraded", "two publishers")


def test_a_status_of_the_venue_is_an_event_and_its_text_steers_no_terminal(scene: Scene) -> None:
    scene.bench.feed.publish_status(scope=2, state=8, reason=5, text="down \x1b[2J")
    scene.hear(scene.frames())
    assert scene.events()[-1] == ("maintenance rate limit down ?[2J", True)


def test_plain_lines(scene: Scene) -> None:
    scene.hear(scene.lose(2))
    report = scene.report()
    told = list(plain(report, report.events))
    started = report.venues[0].session_s
    assert started is not None
    at = clock(report.venues[0].last_error_ns)
    assert told[0] == (
        "binance_usdm ch=2 state=degraded connections=1/2 reconnects=0 streams=6 messages/s=100 bytes/s=10000"
        f" silence_ms=0/10000 live=1/1 session_s={started:.0f} live=1 why: 1 of 2 connections"
        f" last error: {at} conn=2 lost: closed 1006"
    )
    assert told[1] == (
        f"binance_usdm ch=2 conn=1 state=open since=>{clock(START + SECOND)} reconnects=0 streams=3"
        " messages/s=40 bytes/s=4000 silence_ms=0/10000"
    )
    assert told[2].endswith(" silence_ms=0/10000 status: lost: closed 1006")
    assert told[-2].endswith(" binance_usdm conn 2 lost: closed 1006")
