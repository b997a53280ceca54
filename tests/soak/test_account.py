"""What the account of a soak takes for explained, and what not."""

from __future__ import annotations

import pytest

from outcrier.views import State
from soak.account import BACKOFF_S, NOTICED_S, SNAPSHOT_S, Injected, Outage, States, explain, uptime

CLOSE = Injected("close", 100.0, 100.0)


def test_an_outage_lasts_until_the_stand_in_answers_and_back_off_and_one_snapshot() -> None:
    stall = Injected("stall", 100.0, 104.0)
    ends = 104.0 + BACKOFF_S + SNAPSHOT_S
    assert explain(Outage("A", 100.1, ends, ""), [stall], [110.0]).excess == 0
    late = explain(Outage("A", 100.1, ends + 3, ""), [stall], [110.0])
    assert (late.cause, late.excess, late.answers, late.backoff) == ("stall", 3.0, 104.0, 6.0)


@pytest.mark.parametrize("begin", [90.0, 100.0 + NOTICED_S + 1])
def test_an_outage_without_a_fault_before_it_is_not_explained(begin: float) -> None:
    verdict = explain(Outage("A", begin, begin + 2, ""), [CLOSE], [])
    assert (verdict.cause, verdict.excess) == ("", 2.0)
    assert explain(Outage("A", begin, begin + 2, ""), [], []).excess == 2.0


def test_a_later_fault_lengthens_an_outage_and_does_not_explain_its_beginning() -> None:
    refused = Injected("refuse_connects", 130.0, 130.0)
    outage = Outage("A", 100.1, 130.0 + BACKOFF_S + SNAPSHOT_S, "")
    assert explain(outage, [CLOSE, refused], []).excess == 0
    assert explain(outage, [CLOSE], []).excess == pytest.approx(29.9)
    assert explain(outage, [refused], []).excess > 70


def test_the_uptime_is_of_the_time_outside_injected_outages() -> None:
    verdicts = [
        explain(Outage("A", 100.1, 110.0, ""), [CLOSE], []),
        explain(Outage("A", 200.0, 201.0, ""), [CLOSE], []),
        explain(Outage("B", 300.0, 302.0, ""), [], []),
    ]
    assert uptime("A", verdicts, 0.0, 1009.9) == pytest.approx(1 - 1 / 1000)
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
