"""What the account of a soak takes for explained, and what not."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from outcrier.views import State
from soak.account import (
    AT_ONCE_S,
    EARLY_S,
    LOOP,
    NO_BOOK,
    OLD_S,
    SNAPSHOT_S,
    Injected,
    Outage,
    Pacing,
    States,
    Verdict,
    Wait,
    explain,
    uptime,
)
from soak.run import Exchanges, waits

CLOSE = Injected("close", 100.0, 100.0)
PAIR = "BTC/USDT@okx"


def outage(begin: float, end: float, symbol: str = PAIR) -> Outage:
    return Outage(symbol, begin, end, "disconnect")


def link(begin: float, seconds: float, number: int = 1) -> Wait:
    return Wait(f"conn={number}", "", begin, seconds)


def test_an_outage_lasts_until_the_stand_in_answers_and_the_wait_drawn_and_one_snapshot() -> None:
    refused = Injected("refuse_connects", 100.0, 104.0)
    drawn = link(103.5, 7.0)
    ends = 103.5 + 7.0 + SNAPSHOT_S
    assert explain(outage(100.1, ends), [refused], [drawn]).excess == 0
    late = explain(outage(100.1, ends + 3), [refused], [drawn])
    assert (late.cause, late.excess, late.answers, late.drawn) == ("refuse_connects", 3.0, 104.0, (drawn,))
    assert late.backoff == 7.0


def test_a_wait_that_was_not_drawn_is_excess_however_long_it_could_have_been() -> None:
    assert explain(outage(100.0, 100.0 + SNAPSHOT_S), [CLOSE], []).excess == 0
    assert explain(outage(100.0, 100.5 + SNAPSHOT_S), [CLOSE], []).excess == 0.5
    assert explain(outage(100.0, 130.0), [CLOSE], []).excess == 30.0 - SNAPSHOT_S
    assert explain(outage(100.0, 130.0), [CLOSE], [link(100.0, 0.3)]).excess == pytest.approx(
        29.7 - SNAPSHOT_S
    )


def test_a_hole_between_two_waits_is_excess() -> None:
    drawn = [link(100.0, 1.0), link(120.0, 5.0)]
    verdict = explain(outage(100.0, 126.0), [CLOSE], drawn)
    assert verdict.excess == 120.0 - (101.0 + SNAPSHOT_S)
    assert verdict.backoff == 6.0


def test_what_ran_at_the_same_time_counts_once_and_what_ran_outside_not_at_all() -> None:
    drawn = [link(100.0, 4.0), link(102.0, 4.0), link(90.0, 5.0), link(140.0, 60.0)]
    verdict = explain(outage(100.0, 120.0), [CLOSE], drawn)
    assert verdict.drawn == tuple(drawn[:2])
    assert verdict.backoff == 6.0
    assert verdict.excess == 120.0 - (106.0 + SNAPSHOT_S)


def test_a_wait_is_of_the_instrument_or_of_the_connection_that_was_lost() -> None:
    beside = 60.0
    own, other = (Wait("snapshot", symbol, 100.0, beside) for symbol in ("BTC/USDT", "ETH/USDT"))
    assert explain(outage(100.0, 160.0), [CLOSE], [own]).excess == 0
    assert explain(outage(100.0, 160.0), [CLOSE], [other]).excess == beside - SNAPSHOT_S
    weight = Wait("books", "", 100.0, beside)
    assert explain(outage(100.0, 160.0), [CLOSE], [weight]).excess == 0, "it is the venue's"
    mine, theirs = link(100.0 + EARLY_S, 1.0), link(105.0, 60.0, number=2)
    assert explain(outage(100.0, 160.0), [CLOSE], [mine, theirs]).drawn == (mine,)
    unclear = link(101.0 + EARLY_S, 1.0)
    assert explain(outage(100.0, 160.0), [CLOSE], [unclear, theirs]).drawn == (unclear, theirs)


def test_what_the_limits_make_of_a_subscription_comes_on_top() -> None:
    pacing = Pacing(subscribe_s=1.5)
    assert explain(outage(100.0, 101.5 + SNAPSHOT_S), [CLOSE], [], pacing).excess == 0
    assert explain(outage(100.0, 102.0 + SNAPSHOT_S), [CLOSE], [], pacing).excess == 0.5


@pytest.mark.parametrize("begin", [99.7, 100.0 + AT_ONCE_S + EARLY_S + 0.1])
def test_an_outage_without_a_fault_at_its_beginning_is_not_explained(begin: float) -> None:
    drawn = [link(begin, 2.0)]
    verdict = explain(outage(begin, begin + 2), [CLOSE], drawn)
    assert verdict.excess == pytest.approx(2.0)
    assert (verdict.cause, verdict.drawn) == ("", ())
    assert explain(outage(begin, begin + 2), [], drawn).excess == pytest.approx(2.0)


@pytest.mark.parametrize("begin", [100.0 - EARLY_S, 100.0 + AT_ONCE_S])
def test_a_closed_socket_is_noticed_at_once(begin: float) -> None:
    assert explain(outage(begin, begin + 1), [CLOSE], []).cause == "close"


@pytest.mark.parametrize("kind", ["drop", "stale", "half_open", "loop"])
def test_a_loss_is_noticed_by_the_next_message_of_the_book(kind: str) -> None:
    lost = Injected(kind, 100.0, 103.0, heard={PAIR: 150.0})
    assert explain(outage(150.5, 151.0), [lost], []).cause == kind
    assert explain(outage(150.5, 151.0, "ETH/USDT@okx"), [lost], []).cause == kind, "none came yet"
    assert explain(outage(150.5 + AT_ONCE_S, 153.0), [lost], []).cause == ""
    # Nothing is in the way of its book then.
    assert explain(outage(150.0, 151.0 + SNAPSHOT_S), [lost], []).excess == 1.0


def test_a_beginning_that_was_lost_is_noticed_once_the_numbers_were_old_for_seconds() -> None:
    stale = Injected("stale", 100.0, 103.0, heard={PAIR: 103.1})
    late = outage(103.1 + OLD_S + AT_ONCE_S, 110.0)
    assert explain(late, [stale], []).cause == ""
    hidden = Injected(LOOP, 99.0, 99.0, heard={PAIR: 100.5, "ETH/USDT@okx": 99.5})
    assert explain(late, [hidden, stale], []).cause == "stale"
    assert explain(outage(late.begin + 1, 111.0), [hidden, stale], []).cause == ""
    other = dataclasses.replace(late, symbol="ETH/USDT@okx")
    told = dataclasses.replace(stale, heard={"ETH/USDT@okx": 103.1})
    assert explain(other, [hidden, told], []).cause == "", "its whole book came before the loss"
    after = Injected(LOOP, 104.0, 104.0, heard={PAIR: 104.1})
    assert explain(late, [stale, after], []).cause == "", "its whole book came after the loss"


@pytest.mark.parametrize("first", [99.0, 101.5, 103.0 + EARLY_S])
def test_a_first_whole_book_that_was_lost_on_its_way_is_asked_for_again_later(first: float) -> None:
    pacing = Pacing(book_wait_s=10.0)
    stale = Injected("stale", 101.0, 103.0)
    begun = Injected(NO_BOOK, first, first + 2.0, symbol=PAIR)
    ends = 103.0 + 10.0 + SNAPSHOT_S
    met = [CLOSE, stale, begun]
    assert explain(outage(100.0, ends), met, [], pacing).excess == 0
    assert explain(outage(100.0, ends + 1), met, [], pacing).excess == 1.0
    none = Injected(NO_BOOK, 90.0, 100.5, symbol=PAIR)
    assert explain(outage(100.0, ends), [CLOSE, stale, none], [], pacing).excess == 10.0, "it was there"
    assert explain(outage(100.0, ends), [CLOSE, stale], [], pacing).excess == 10.0, "it came at once"
    refused = Injected("refuse_connects", 101.0, 103.0)
    lossless = explain(outage(100.0, ends), [CLOSE, refused, begun], [], pacing)
    assert lossless.excess == pytest.approx(113.0 - max(103.0, begun.end)), "that loses no message"


def test_the_stand_in_answers_once_it_has_a_book_to_begin_with() -> None:
    none = Injected(NO_BOOK, 100.5, 120.0, symbol=PAIR)
    assert explain(outage(100.0, 120.0 + SNAPSHOT_S), [CLOSE, none], []).excess == 0
    other = "ETH/USDT@okx"
    assert explain(outage(100.0, 120.0 + SNAPSHOT_S, other), [CLOSE, none], []).excess == 20.0
    never = Injected(NO_BOOK, 100.5, float("inf"), symbol=PAIR)
    verdict = explain(outage(100.0, 300.0), [CLOSE, never], [])
    assert (verdict.excess, verdict.answers) == (0, 300.0)


def test_a_stall_loses_nothing() -> None:
    stall = Injected("stall", 100.0, 104.0, heard={})
    assert explain(outage(104.0 + AT_ONCE_S, 106.0), [stall], []).cause == "stall"
    assert explain(outage(106.0, 107.0), [stall], []).cause == ""


def test_a_link_that_answers_nothing_is_given_up_after_silence_and_ping() -> None:
    half = Injected("half_open", 100.0, 105.0, heard={PAIR: 105.1})
    pacing = Pacing(unanswered_s=20.0)
    assert explain(outage(120.0 + AT_ONCE_S, 122.0), [half], [], pacing).cause == "half_open"
    assert explain(outage(121.5, 123.0), [half], [], pacing).cause == ""
    assert explain(outage(120.0, 122.0), [Injected("close", 100.0, 100.0)], [], pacing).cause == ""


def test_in_the_quiet_after_a_recording_a_book_is_asked_for_anew_and_costs_one_snapshot() -> None:
    quiet = Injected("quiet", 100.0, 100.0, until=140.0)
    assert explain(outage(130.0, 130.0 + SNAPSHOT_S), [quiet], []).excess == 0
    assert explain(outage(130.0, 131.0 + SNAPSHOT_S), [quiet], []).excess == 1.0, "the quiet is no outage"
    assert explain(outage(142.0, 143.0), [quiet], []).cause == ""


def test_a_later_fault_lengthens_an_outage_and_does_not_explain_its_beginning() -> None:
    refused = Injected("refuse_connects", 130.0, 130.0)
    long = outage(100.1, 130.0 + SNAPSHOT_S)
    hole = 130.0 - (100.1 + SNAPSHOT_S)
    assert explain(long, [CLOSE, refused], []).excess == pytest.approx(hole)
    assert explain(long, [CLOSE], []).excess == pytest.approx(hole + SNAPSHOT_S)
    assert explain(long, [refused], []).excess == pytest.approx(long.seconds)
    assert explain(long, [CLOSE, refused], [link(100.1, 29.9)]).excess == 0


def test_the_uptime_is_of_the_time_outside_injected_outages() -> None:
    def verdict(symbol: str, begin: float, end: float, excess: float) -> Verdict:
        return Verdict(Outage(symbol, begin, end), "close", begin, (), excess)

    verdicts = [
        verdict("A", 100.1, 110.0, 0.0),
        verdict("A", 200.0, 203.0, 1.0),
        verdict("B", 300.0, 302.0, 2.0),
    ]
    assert uptime("A", verdicts, 0.0, 1011.9) == pytest.approx(1 - 1 / 1000)
    assert uptime("B", verdicts, 0.0, 1000.0) == pytest.approx(1 - 2 / 1000)
    assert uptime("C", verdicts, 0.0, 1000.0) == 1


def test_states_become_outages() -> None:
    states = States()
    for state, time in [
        (State.RECOVERING, 1.0),
        (State.LIVE, 2.0),
        (State.UNSURE, 3.0),
        (State.STALE, 4.0),
        (State.RECOVERING, 5.0),
        (State.LIVE, 6.5),
        (State.STALE, 8.0),
    ]:
        states.take("A", state, state.lower(), time)
    states.end(9.0)
    assert states.outages == [Outage("A", 4.0, 6.5, "stale"), Outage("A", 8.0, 9.0, "stale")]
    assert states.live_since == {"A": 2.0}


def test_waits_are_read_from_the_log_of_the_feeder(tmp_path: Path) -> None:
    common = {"time": "-", "level": "warning", "logger": "outcrier.feeder", "message": "-"}
    lines = [
        {**common, "time_ns": 1_500_000_000, "venue": "okx", "cause": "conn=1", "counts": {"wait_ms": 1250}},
        {**common, "time_ns": 2_000_000_000, "venue": "okx", "cause": "conn=1", "counts": {"held_back": 3}},
        {**common, "time_ns": 2_500_000_000, "cause": "a library"},
        {
            **common,
            "time_ns": 3_000_000_000,
            "venue": "binance",
            "cause": "snapshot",
            "symbol": "BTC/USDT",
            "counts": {"wait_ms": 0},
        },
    ]
    log = tmp_path / "feeder.jsonl"
    log.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert waits(log) == {
        "okx": [Wait("conn=1", "", 1.5, 1.25)],
        "binance": [Wait("snapshot", "BTC/USDT", 3.0, 0.0)],
    }


def test_faults_last_as_they_were_injected_and_a_loss_is_told_by_the_first_message_after_it() -> None:
    def told(t: float, **what: object) -> dict[str, object]:
        return {"t": t, "venue": "okx", **what}

    exchanges = Exchanges()
    exchanges.told = [
        {"t": 0.0, "venue": "bybit", "happened": "close"},
        told(1.0, kind="stale", seconds=2.0),
        told(1.5, happened="stale"),
        told(2.0, heard=["B"]),
        told(3.6, heard=["B", "XB"]),
        told(9.0, heard=["B"]),
        told(20.0, kind="refuse_connects 503", seconds=5.0),
        {"t": 20.5, "venue": "okx", "happened": "met refuse_connects"},
        told(22.0, bookless_yet="B"),
        told(23.0, bookless_yet="C"),
        told(24.0, whole="B"),
        told(30.0, over=True),
        told(70.0, happened="end"),
    ]
    assert exchanges.faults("okx", {"B": "B@okx", "XB": "XB@okx", "C": "C@okx"}) == [
        Injected("stale", 1.5, 3.5, heard={"B@okx": 3.6, "XB@okx": 3.6}),
        Injected("refuse_connects", 20.5, 20.5),
        Injected(NO_BOOK, 22.0, 24.0, symbol="B@okx"),
        Injected(NO_BOOK, 23.0, float("inf"), symbol="C@okx"),
        Injected("quiet", 30.0, 30.0, until=70.0),
        Injected("end", 70.0, 70.0),
    ]
