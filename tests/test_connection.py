"""The connection machine: time is an argument, randomness a seed, nothing is opened."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable

import pytest

from outcrier.feeder.backoff import NEVER_NS, SECOND_NS, AttemptBudget, Pace
from outcrier.feeder.connection import (
    ACKNOWLEDGE_TIMEOUT_NS,
    BACKOFF_BASE_NS,
    BACKOFF_CAP_NS,
    CONNECT_TIMEOUT_NS,
    REGION_WAIT_NS,
    STABLE_NS,
    Close,
    Connect,
    Connection,
    ConnectionSpec,
    Drained,
    Effect,
    Extended,
    Failed,
    Held,
    Lost,
    Probe,
    Renew,
    Send,
    State,
    Subscribed,
)
from outcrier.feeder.transport import Reason, TransportError
from outcrier.venues.base import Request

DAY_NS = 86_400 * SECOND_NS
SPEC = ConnectionSpec(
    url="wss://venue.example/stream",
    subscribe=(Request("one"), Request("two"), Request("three")),
    messages_per_second=5,
    expected_silence_ns=5 * SECOND_NS,
    lifetime_ns=DAY_NS,
)
REFUSED = TransportError(SPEC.url, Reason.REFUSED)


def seeded(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - a test repeats what it saw


def connection(spec: ConnectionSpec = SPEC, seed: int = 1, limit: int = 300) -> Connection:
    return Connection(spec, AttemptBudget(limit, 300 * SECOND_NS), seeded(seed).random)


def live(spec: ConnectionSpec = SPEC, seed: int = 1) -> tuple[Connection, int]:
    """A subscribed connection and the time at which it is."""
    machine = connection(spec, seed)
    machine.start(0)
    machine.opened(SECOND_NS)
    now_ns = SECOND_NS
    for _ in spec.subscribe:
        now_ns += SECOND_NS
        machine.tick(now_ns)
    machine.acknowledged(now_ns, sum(request.acks for request in spec.subscribe))
    assert machine.subscribed
    return machine, now_ns


def run(machine: Connection, from_ns: int, until_ns: int) -> list[tuple[int, Effect]]:
    """Ticks at every deadline, as the service does, and tells when which effect came."""
    seen: list[tuple[int, Effect]] = []
    for _ in range(10_000):
        deadline_ns = machine.deadline_ns
        if deadline_ns is None or deadline_ns > until_ns:
            return seen
        now_ns = max(from_ns, deadline_ns)
        effects = machine.tick(now_ns)
        seen += [(now_ns, effect) for effect in effects]
        assert effects or machine.deadline_ns != deadline_ns, "a deadline that does nothing spins the loop"
    raise AssertionError("the machine does not come to rest")


def reason(effect: Effect) -> str:
    """Why a link was lost."""
    assert isinstance(effect, Lost)
    return effect.reason


def test_subscribe_messages_are_paced_and_acknowledged() -> None:
    machine = connection()
    assert machine.start(0) == [Connect(SPEC.url, 10.0)]
    assert machine.state.value == "connecting"
    assert machine.opened(7) == [Send("one")]
    assert run(machine, 7, SECOND_NS) == [
        (7 + SECOND_NS // 4, Send("two")),
        (7 + SECOND_NS // 2, Send("three")),
    ]
    assert machine.acknowledged(SECOND_NS, 2) == []
    assert not machine.subscribed
    assert machine.acknowledged(SECOND_NS) == [Subscribed()]
    assert machine.state is State.CONNECTED
    assert machine.subscribed


def test_an_acknowledgement_of_nothing_sent_does_not_count() -> None:
    machine = connection()
    machine.start(0)
    machine.opened(0)
    assert machine.acknowledged(0, 3) == []
    assert machine.acknowledged(0, 3) == []
    assert not machine.subscribed


def test_a_url_that_says_it_all_is_subscribed_when_open() -> None:
    machine = connection(ConnectionSpec("ws://v/s", (), 5, SECOND_NS, DAY_NS))
    machine.start(0)
    assert machine.opened(1) == [Subscribed()]


def test_a_message_that_nobody_answers_is_taken_as_sent_and_one_may_take_many_answers() -> None:
    requests = (Request("hello", acks=0), Request("two symbols", acks=2))
    machine = connection(dataclasses.replace(SPEC, subscribe=requests))
    machine.start(0)
    assert machine.opened(0) == [Send("hello")]
    assert machine.tick(SECOND_NS) == [Send("two symbols")]
    assert machine.acknowledged(SECOND_NS) == []
    assert machine.acknowledged(SECOND_NS) == [Subscribed()]
    machine = connection(dataclasses.replace(SPEC, subscribe=requests[:1]))
    machine.start(0)
    assert machine.opened(0) == [Send("hello"), Subscribed()]


def test_without_acknowledgement_the_connection_is_given_up() -> None:
    machine = connection()
    machine.start(0)
    machine.opened(0)
    for step in range(1, 400):  # messages come, as they do on a connection that is half subscribed
        machine.received(step * SECOND_NS // 20, 1, 10)
        effects = machine.tick(step * SECOND_NS // 20)
        if any(isinstance(effect, Lost) for effect in effects):
            assert reason(effects[0]) == "subscription not acknowledged"
            assert isinstance(effects[1], Close)
            assert step * SECOND_NS // 20 >= SECOND_NS // 2 + ACKNOWLEDGE_TIMEOUT_NS
            return
    raise AssertionError("never given up")


def test_a_refused_subscription_is_given_up_with_its_reason() -> None:
    machine = connection()
    machine.start(0)
    machine.opened(0)
    assert reason(machine.rejected(5, "Invalid request: x")[0]) == "subscription refused: Invalid request: x"
    assert machine.state in {State.RECONNECTING, State.CONNECTING}


def test_back_off_is_full_jitter_between_zero_and_a_doubling_bound() -> None:
    waits: dict[int, list[int]] = {}
    for seed in range(200):
        machine = connection(seed=seed)
        now_ns = 0
        machine.start(now_ns)
        for attempt in range(12):
            effects = machine.failed(now_ns, REFUSED)
            assert isinstance(effects[0], Failed)
            waits.setdefault(attempt, []).append(effects[0].wait_ns)
            now_ns += effects[0].wait_ns
            assert machine.tick(now_ns - 1) == [] or effects[0].wait_ns == 0
            if machine.state is State.RECONNECTING:
                assert machine.tick(now_ns) == [Connect(SPEC.url, 10.0)]
    for attempt, values in waits.items():
        bound = min(BACKOFF_CAP_NS, BACKOFF_BASE_NS * 2**attempt)
        assert max(values) < bound
        assert min(values) < bound * 0.05, "full jitter starts at nothing"
        assert 0.4 * bound < sum(values) / len(values) < 0.6 * bound, "uniform"


def test_back_off_is_forgotten_only_after_a_stable_time() -> None:
    def bound_after(stable_ns: int) -> int:
        """The largest wait of many seeds after failing 5 times, living `stable_ns` and being cut."""
        largest = 0
        for seed in range(60):
            machine = connection(ConnectionSpec("ws://v/s", (), 5, 1000 * SECOND_NS, DAY_NS), seed)
            now_ns = 0
            machine.start(now_ns)
            for _ in range(5):
                effect = machine.failed(now_ns, REFUSED)[0]
                assert isinstance(effect, Failed)
                now_ns += effect.wait_ns
                machine.tick(now_ns)
            machine.opened(now_ns)
            now_ns += stable_ns
            machine.closed(now_ns, 1006, "")
            deadline_ns = machine.deadline_ns
            assert deadline_ns is not None
            largest = max(largest, deadline_ns - now_ns if machine.state is State.RECONNECTING else 0)
        return largest

    assert bound_after(STABLE_NS) <= BACKOFF_BASE_NS
    assert bound_after(STABLE_NS - 1) > 4 * BACKOFF_BASE_NS


@pytest.mark.parametrize("seed", range(5))
def test_never_more_attempts_than_the_window_documented_by_the_venue(seed: int) -> None:
    # Fault 20: everything is refused for ten minutes, 200 connections of one venue.
    limit, window_ns = 300, 300 * SECOND_NS
    source = seeded(seed)
    budget = AttemptBudget(limit, window_ns)
    machines = [Connection(SPEC, budget, source.random) for _ in range(200)]
    attempts: list[int] = []

    def count(effects: list[Effect], now_ns: int) -> int:
        found = sum(isinstance(effect, Connect) for effect in effects)
        attempts.extend([now_ns] * found)
        return found

    for machine in machines:
        count(machine.start(0), 0)
    now_ns = 0
    while now_ns < 600 * SECOND_NS:
        for machine in machines:
            if machine.state is State.CONNECTING:
                machine.failed(now_ns, REFUSED)
            deadline_ns = machine.deadline_ns
            if deadline_ns is not None and deadline_ns <= now_ns:
                count(machine.tick(now_ns), now_ns)
        now_ns += SECOND_NS // 20
    assert len(attempts) > limit
    for first, beyond in zip(attempts, attempts[limit:], strict=False):
        assert beyond - first >= window_ns
    # Healing: every connection is open within a minute of the window's end.
    healed_ns = now_ns
    for _ in range(int(window_ns + 60 * SECOND_NS) // (SECOND_NS // 20)):
        for machine in machines:
            if machine.state is State.CONNECTING:
                machine.opened(now_ns)
                machine.acknowledged(now_ns, 3)
            deadline_ns = machine.deadline_ns
            if machine.state is State.RECONNECTING and deadline_ns is not None and deadline_ns <= now_ns:
                machine.tick(now_ns)
        if all(machine.state is State.CONNECTED for machine in machines):
            break
        now_ns += SECOND_NS // 20
    assert now_ns - healed_ns <= window_ns


def test_silence_is_probed_then_given_up_within_twice_the_expected_silence() -> None:
    machine, now_ns = live()
    machine.received(now_ns, 1, 100)
    seen = run(machine, now_ns, now_ns + 11 * SECOND_NS)
    assert seen[0] == (now_ns + 5 * SECOND_NS, Probe())
    assert (seen[1][0], reason(seen[1][1])) == (now_ns + 10 * SECOND_NS, "silent for 10.0 s")
    assert isinstance(seen[2][1], Close)


def test_a_message_or_a_pong_after_the_probe_saves_the_connection() -> None:
    machine, now_ns = live()
    machine.received(now_ns, 1, 100)
    assert machine.tick(now_ns + 5 * SECOND_NS) == [Probe()]
    machine.pong(now_ns + 6 * SECOND_NS)
    assert machine.tick(now_ns + 10 * SECOND_NS) == []
    assert machine.tick(now_ns + 11 * SECOND_NS) == [Probe()]
    machine.received(now_ns + 12 * SECOND_NS, 1, 100)
    assert machine.tick(now_ns + 16 * SECOND_NS) == []
    assert machine.state is State.CONNECTED


@pytest.mark.parametrize(("cadence_s", "cut_s"), [(1, 50), (8, 80)])
def test_a_link_that_only_answers_pings_has_lost_its_streams_of_fixed_cadence(
    cadence_s: int, cut_s: int
) -> None:
    spec = dataclasses.replace(SPEC, cadence_ns=cadence_s * SECOND_NS)
    machine, start_ns = live(spec)
    machine.received(start_ns, 1, 100)
    for now_ns in range(start_ns, start_ns + cut_s * SECOND_NS, SECOND_NS):
        effects = machine.tick(now_ns)
        assert not any(isinstance(effect, Lost) for effect in effects)
        machine.pong(now_ns)
    assert machine.deadline_ns is not None
    assert machine.deadline_ns <= start_ns + cut_s * SECOND_NS
    assert reason(machine.tick(start_ns + cut_s * SECOND_NS)[0]) == f"no message for {cut_s}.0 s"


def test_a_quiet_market_is_no_reason_to_cut_a_link_that_answers_pings() -> None:
    machine, start_ns = live()
    machine.received(start_ns, 1, 100)
    probes = 0
    for now_ns in range(start_ns, start_ns + 3600 * SECOND_NS, SECOND_NS):
        effects = machine.tick(now_ns)
        assert all(effect == Probe() for effect in effects)
        if effects:
            probes += 1
            machine.pong(now_ns)
    assert probes == 3600 // 5 - 1
    assert machine.state is State.CONNECTED


def feed(machine: Connection, now_ns: int, good: int, faulty: int) -> list[Effect]:
    """Messages, the faulty ones last; returns what the first effect-giving fault gave."""
    for _ in range(good):
        machine.received(now_ns, 1, 10)
    for _ in range(faulty):
        machine.received(now_ns, 1, 10)
        effects = machine.faulty(now_ns)
        if effects:
            return effects
    return []


def test_more_than_one_percent_of_faulty_messages_ends_the_connection() -> None:
    machine, now_ns = live()
    assert feed(machine, now_ns, 1_980, 20) == [], "one percent is kept"
    effects = feed(machine, now_ns, 0, 1)
    assert reason(effects[0]) == "21 of 2001 messages faulty"
    assert isinstance(effects[1], Close)
    assert machine.state is State.RECONNECTING
    assert not machine.subscribed
    assert machine.faulty(now_ns) == [], "what an abandoned link still brings counts no more"


def test_ten_faulty_messages_among_the_first_end_nothing() -> None:
    machine, now_ns = live()
    assert feed(machine, now_ns, 0, 10) == []
    assert reason(feed(machine, now_ns, 0, 1)[0]) == "11 of 11 messages faulty"


def test_a_good_hour_does_not_hide_a_bad_minute_nor_an_old_fault_add_up() -> None:
    machine, now_ns = live()
    for _ in range(120):  # 10 faults in half a minute among 2,000 messages, for an hour
        now_ns += 30 * SECOND_NS
        assert feed(machine, now_ns, 2_000, 10) == []
    now_ns += SECOND_NS
    assert feed(machine, now_ns, 0, 200), "and then nothing but faults"


def test_a_new_link_begins_to_count_anew() -> None:
    machine, now_ns = live()
    assert feed(machine, now_ns, 0, 10) == []
    machine.closed(now_ns, 1006, "")
    assert machine.deadline_ns is not None
    now_ns = machine.deadline_ns
    machine.tick(now_ns)
    machine.opened(now_ns)
    assert feed(machine, now_ns, 0, 10) == []


def test_asks_for_another_link_before_the_venue_cuts_and_not_all_at_once() -> None:
    times = set()
    for seed in range(30):
        machine, now_ns = live(seed=seed)
        deadline_ns = SECOND_NS + int(0.9 * DAY_NS)
        while True:
            machine.received(now_ns, 1, 10)
            effects = machine.tick(now_ns)
            if effects:
                break
            now_ns += 60 * SECOND_NS
            machine.received(now_ns, 1, 10)
            assert now_ns < DAY_NS, "the venue was faster"
        assert now_ns >= deadline_ns
        assert effects == [Renew("lifetime")]
        assert (machine.state, machine.subscribed) == (State.CONNECTED, True), "the link goes on"
        times.add(now_ns)
    assert len(times) > 20
    machine.received(now_ns, 1, 10)
    assert machine.tick(now_ns + 1) == [], "told once"
    machine.renew_later(now_ns, 60 * SECOND_NS)
    machine.received(now_ns + 60 * SECOND_NS, 1, 10)
    assert machine.tick(now_ns + 60 * SECOND_NS) == [Renew("lifetime")]


def test_a_venue_that_never_cuts_is_not_renewed() -> None:
    machine, now_ns = live(spec=dataclasses.replace(SPEC, lifetime_ns=0))
    for day in range(1, 30):
        machine.received(now_ns + day * DAY_NS, 1, 10)
        assert machine.tick(now_ns + day * DAY_NS) == []


def test_an_announced_shutdown_asks_for_another_link_and_goes_on() -> None:
    """However young the link is: who carries it out sees to it that there is no loop."""
    machine, now_ns = live()
    assert machine.shutdown_announced(now_ns + 1) == [Renew("server shutdown announced")]
    assert (machine.state, machine.subscribed) == (State.CONNECTED, True)
    machine.renew_later(now_ns + 1, SECOND_NS)
    machine.received(now_ns + SECOND_NS, 1, 10)
    assert machine.tick(now_ns + SECOND_NS) == []
    assert machine.tick(now_ns + SECOND_NS + 1) == [Renew("server shutdown announced")]


def test_a_shutdown_announced_before_the_subscription_is_a_reason_to_go() -> None:
    machine = connection()
    machine.start(0)
    machine.opened(1)
    effects = machine.shutdown_announced(2)
    assert reason(effects[0]) == "server shutdown announced"
    assert not any(isinstance(effect, Connect) for effect in effects)
    assert machine.state is State.RECONNECTING


def test_a_link_is_drained_when_the_ping_of_then_is_answered() -> None:
    machine, now_ns = live()
    assert machine.pong(now_ns) == [], "nobody asked"
    assert machine.tick(now_ns + 6 * SECOND_NS) == [Probe()], "for it was silent"
    assert machine.drain(now_ns + 6 * SECOND_NS + 1) == [Probe()]
    assert machine.pong(now_ns + 7 * SECOND_NS) == [], "to the ping before"
    assert machine.pong(now_ns + 7 * SECOND_NS + 1) == [Drained()]
    assert machine.pong(now_ns + 7 * SECOND_NS + 2) == []
    for number in range(int(SPEC.messages_per_second)):
        assert machine.reply(now_ns + 8 * SECOND_NS, str(number))
    assert machine.drain(now_ns + 8 * SECOND_NS) == [], "the venue takes no more in this second"
    assert run(machine, now_ns, now_ns + 9 * SECOND_NS) == [(now_ns + 9 * SECOND_NS, Probe())]
    assert machine.pong(now_ns + 9 * SECOND_NS) == [Drained()]
    machine.closed(now_ns + 10 * SECOND_NS, 1006, "")
    assert machine.drain(now_ns + 10 * SECOND_NS) == [], "there is nothing to read"


def test_a_link_that_is_of_no_use_is_given_up() -> None:
    machine, now_ns = live()
    assert reason(machine.useless(now_ns, "books come by the other")[0]) == "books come by the other"
    assert machine.state is State.RECONNECTING
    assert machine.useless(now_ns, "again") == []


def test_more_is_asked_for_on_an_open_link_paced_and_told_when_it_is_answered() -> None:
    machine, now_ns = live()
    assert machine.ask(now_ns, [Request("four"), Request("five")]) == [Send("four")]
    assert run(machine, now_ns, now_ns + SECOND_NS // 2) == [(now_ns + SECOND_NS // 4, Send("five"))]
    assert machine.acknowledged(now_ns + SECOND_NS) == []
    assert not machine.is_settled
    assert machine.acknowledged(now_ns + SECOND_NS) == [Extended()]
    assert machine.acknowledged(now_ns + SECOND_NS) == [], "told once"
    assert machine.is_settled
    assert machine.ask(now_ns + SECOND_NS, [Request("six", acks=0)]) == [Send("six"), Extended()]
    machine.closed(now_ns + 3 * SECOND_NS, 1006, "")
    assert machine.ask(now_ns + 3 * SECOND_NS, [Request("seven")]) == [], "the next link asks for everything"


def test_what_is_never_answered_later_costs_the_others_nothing() -> None:
    machine, now_ns = live()
    machine.ask(now_ns, [Request("four", acks=3), Request("five")])
    assert machine.acknowledged(now_ns + SECOND_NS) == [Send("five")]
    told = [effect for _, effect in feeding(machine, now_ns + SECOND_NS, 12 * SECOND_NS)]
    assert told == [Extended()]
    assert (machine.unanswered, machine.is_settled) == (3, True)


def test_connections_of_an_address_share_a_pace_where_the_venue_counts_so() -> None:
    pace, budget = Pace(5), AttemptBudget(300, 300 * SECOND_NS)
    machines = [Connection(SPEC, budget, seeded(seed).random, pace) for seed in range(3)]
    sent: list[int] = []
    for machine in machines:
        machine.start(0)
    heard: list[int] = []
    for now_ns in range(0, 3 * SECOND_NS, SECOND_NS // 100):
        for number, machine in enumerate(machines):
            effects = machine.tick(now_ns) if now_ns else machine.opened(0)
            told = [number for effect in effects if isinstance(effect, Send)]
            sent, heard = sent + [now_ns] * len(told), heard + told
            machine.acknowledged(now_ns, len(told))
    assert sent == [number * SECOND_NS // 4 for number in range(9)]
    assert heard[:3] == [0, 1, 2], "who has said nothing yet goes first"
    assert machines[0].reply(3 * SECOND_NS, "now") == [Send("now")], "what must be said is said at once"
    assert machines[1].ask(3 * SECOND_NS, [Request("ten")]) == [], "and counts"


@pytest.mark.parametrize("seed", range(20))
def test_a_network_that_delivers_all_at_once_delivers_no_more_than_the_venue_takes(seed: int) -> None:
    """Both directions are held up at random; messages and answers keep their order."""
    dice = seeded(seed)
    rate = dice.choice((2, 3, 5, 10))
    requests = [Request(str(number), acks=dice.choice((1, 1, 3))) for number in range(60)]
    spec = dataclasses.replace(SPEC, subscribe=requests, messages_per_second=rate, client_ping="ping")
    spec = dataclasses.replace(spec, client_ping_every_ns=dice.choice((2, 5, 20)) * SECOND_NS)
    machine = connection(spec)
    machine.start(0)
    step_ns = SECOND_NS // 50
    up_ns = down_ns = now_ns = 0
    """Before this nothing is delivered."""
    under_way: list[tuple[int, str]] = []
    arrived: list[int] = []
    answers: list[int] = []
    effects = machine.opened(0)
    while not machine.is_settled:
        assert machine.state is State.CONNECTED
        for effect in effects:
            assert not isinstance(effect, Lost)
            if isinstance(effect, Send | Probe):
                under_way.append((now_ns + step_ns, effect.text))
        now_ns += step_ns
        assert now_ns < 300 * SECOND_NS
        if now_ns > max(up_ns, down_ns) + SECOND_NS and dice.random() < 0.02:
            up_ns, down_ns = (now_ns + dice.randrange(4 * SECOND_NS) for _ in range(2))
        while under_way and max(under_way[0][0], up_ns) <= now_ns:
            _, text = under_way.pop(0)
            arrived.append(now_ns)
            answers += [0] if text == "ping" else [1] * requests[int(text)].acks
        effects = []
        while answers and down_ns <= now_ns:
            machine.received(now_ns, 1, 10)
            if answers.pop(0):
                effects += machine.acknowledged(now_ns)
            else:
                machine.pong(now_ns)
        effects += machine.drain(now_ns) if dice.random() < 0.01 else machine.tick(now_ns)
    assert len(arrived) >= len(requests)
    assert all(b - a >= SECOND_NS for a, b in zip(arrived, arrived[rate:], strict=False))


def test_pings_that_nobody_answers_hold_no_message_back() -> None:
    pace = Pace(2)
    for number in range(3):
        pace.sent(number * 20 * SECOND_NS, "link", is_ping=True)
    assert pace.at_ns == 40 * SECOND_NS + SECOND_NS * 5 // 8
    pace.sent(41 * SECOND_NS, "link", 1)
    assert pace.at_ns == NEVER_NS, "one of two is on its way, and a ping may be"
    pace.answered(41 * SECOND_NS, "link", 1)
    assert pace.at_ns == 42 * SECOND_NS, "the answer says that the ping has arrived too"


def test_messages_that_nobody_will_answer_hold_no_other_back() -> None:
    pace, budget = Pace(5), AttemptBudget(300, 300 * SECOND_NS)
    first, second = (Connection(SPEC, budget, seeded(seed).random, pace) for seed in range(2))
    first.start(0)
    second.start(0)
    first.opened(0)
    first.ask(0, [Request("four"), Request("five")])
    assert [e for _, e in run(first, 0, SECOND_NS)] == [Send("two"), Send("three"), Send("four")]
    assert second.opened(2 * SECOND_NS) == [], "four are on their way, and the fifth place is a ping's"
    assert first.tick(2 * SECOND_NS) == []
    assert reason(first.closed(3 * SECOND_NS, 1006, "")[0]) == "closed 1006"
    assert second.tick(3 * SECOND_NS) == [Send("one")]


def test_a_refusal_of_what_is_asked_for_later_leaves_the_link_alone() -> None:
    machine, now_ns = live()
    machine.ask(now_ns, [Request("four")])
    assert machine.rejected(now_ns, "no such symbol") == [Extended()], "it is answered"
    assert not [e for _, e in feeding(machine, now_ns, 20 * SECOND_NS) if isinstance(e, Lost)]


def test_no_window_has_more_messages_than_the_venue_takes() -> None:
    """OKX: 480 requests an hour and connection."""
    spec = dataclasses.replace(
        SPEC, subscribe=(), messages_per_second=125.0, messages_max=5, messages_window_ns=60 * SECOND_NS
    )
    machine, now_ns = live(spec=spec)
    machine.ask(now_ns, [Request(str(number), acks=0) for number in range(13)])
    sent = [0] + [at for at, e in feeding(machine, now_ns, 200 * SECOND_NS) if isinstance(e, Send)]
    assert len(sent) == 13
    assert all(later - earlier >= 60 * SECOND_NS for earlier, later in zip(sent[1:], sent[6:], strict=False))
    assert sent[-1] - now_ns <= 121 * SECOND_NS, "and no slower than that"


def test_a_venue_that_wants_to_be_pinged_is_by_its_own_word() -> None:
    spec = dataclasses.replace(SPEC, client_ping="ping", client_ping_every_ns=20 * SECOND_NS)
    machine, now_ns = live(spec=spec)
    pings = [at - SECOND_NS for at, e in feeding(machine, now_ns, 65 * SECOND_NS) if isinstance(e, Probe)]
    assert [round(at / SECOND_NS) for at in pings] == [20, 40, 60], "after the opening"
    machine, now_ns = live(spec=spec)
    silent = run(machine, now_ns, now_ns + spec.expected_silence_ns)
    assert silent[-1][1] == Probe("ping"), "silence is asked about in the same way"


def feeding(machine: Connection, now_ns: int, for_ns: int) -> list[tuple[int, Effect]]:
    """The effects while a message comes ten times a second."""
    told: list[tuple[int, Effect]] = []
    for at_ns in range(now_ns, now_ns + for_ns, SECOND_NS // 10):
        machine.received(at_ns, 1, 10)
        told += [(at_ns, effect) for effect in machine.tick(at_ns)]
    return told


def test_a_rate_limit_holds_every_connection_of_the_venue_back() -> None:
    budget = AttemptBudget(300, 300 * SECOND_NS)
    first, second = (Connection(SPEC, budget, seeded(seed).random) for seed in range(2))
    first.start(0)
    limited = TransportError(SPEC.url, Reason.RATE_LIMITED, "HTTP 429", status=429, retry_after_s=120)
    effect = first.failed(0, limited)[0]
    assert isinstance(effect, Failed)
    assert 120 * SECOND_NS <= effect.wait_ns <= 121 * SECOND_NS
    (held,) = second.start(1)
    assert isinstance(held, Held)
    assert second.deadline_ns == 1 + held.wait_ns, "and says how long"
    assert [e for t, e in run(second, 1, 119 * SECOND_NS) if isinstance(e, Connect)] == []
    connects = [t for t, e in run(second, 1, 130 * SECOND_NS) if isinstance(e, Connect)]
    assert connects
    assert connects[0] >= 120 * SECOND_NS


@pytest.mark.parametrize("status", [403, 451])
def test_a_refused_region_is_asked_seldom(status: int) -> None:
    machine = connection()
    machine.start(0)
    error = TransportError(SPEC.url, Reason.REGION, f"HTTP {status}", status=status)
    effect = machine.failed(0, error)[0]
    assert isinstance(effect, Failed)
    assert effect.wait_ns >= REGION_WAIT_NS
    assert str(effect.error) == f"venue.example: refused for this region (HTTP {status})"


def test_a_connect_that_hangs_is_ended() -> None:
    machine = connection()
    machine.start(0)
    assert machine.tick(CONNECT_TIMEOUT_NS - 1) == []
    effects = machine.tick(CONNECT_TIMEOUT_NS)
    assert isinstance(effects[0], Close)
    assert isinstance(effects[1], Failed)
    assert machine.state is State.RECONNECTING


def test_what_comes_late_or_after_the_stop_changes_nothing() -> None:
    machine, now_ns = live()
    assert [type(effect) for effect in machine.stop(now_ns)] == [Close]
    assert machine.state is State.DISCONNECTED
    for effects in (
        machine.opened(now_ns),
        machine.closed(now_ns, 1006, ""),
        machine.failed(now_ns, REFUSED),
        machine.acknowledged(now_ns),
        machine.rejected(now_ns, "no"),
        machine.shutdown_announced(now_ns),
        machine.tick(now_ns + DAY_NS),
        machine.stop(now_ns),
    ):
        assert effects == []
    assert machine.deadline_ns is None
    assert machine.state is State.DISCONNECTED


def test_counts_reconnects_messages_and_bytes() -> None:
    machine, now_ns = live()
    assert machine.reconnects == 0
    machine.received(now_ns, 1, 100)
    machine.received(now_ns + 1, 1, 23)
    assert (machine.messages, machine.bytes, machine.last_received_ns) == (2, 123, now_ns + 1)
    assert reason(machine.closed(now_ns + 2, 1001, "going away")[0]) == "closed 1001 going away"
    run(machine, now_ns + 2, now_ns + 2 + BACKOFF_BASE_NS)
    machine.opened(now_ns + SECOND_NS)
    assert machine.reconnects == 1


@pytest.mark.parametrize("seed", range(20))
def test_any_order_of_inputs_keeps_the_machine_whole(seed: int) -> None:
    source = seeded(seed)
    machine = Connection(SPEC, AttemptBudget(50, 60 * SECOND_NS), source.random)
    now_ns, attempts = 0, list[int]()

    def received(now_ns: int) -> list[Effect]:
        machine.received(now_ns, 1, 5)
        return []

    inputs: list[Callable[[int], list[Effect]]] = [
        machine.start,
        machine.opened,
        lambda now_ns: machine.closed(now_ns, 1006, ""),
        lambda now_ns: machine.failed(now_ns, REFUSED),
        machine.acknowledged,
        machine.tick,
        machine.shutdown_announced,
        received,
    ]
    for _ in range(2000):
        now_ns += source.randrange(2 * SECOND_NS)
        effects = source.choice(inputs)(now_ns)
        attempts += [now_ns for effect in effects if isinstance(effect, Connect)]
        if any(isinstance(effect, Lost) for effect in effects):
            assert not machine.subscribed
        deadline_ns = machine.deadline_ns
        if machine.state is not State.DISCONNECTED:
            assert deadline_ns is not None, "a machine that waits for nothing never comes back"
    for first, beyond in zip(attempts, attempts[50:], strict=False):
        assert beyond - first >= 60 * SECOND_NS
