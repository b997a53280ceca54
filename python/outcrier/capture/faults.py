"""What a stand-in does wrong on purpose: a schedule of faults, and what they make of a message.

Messages are altered as text, by the numbers printed in them, so that every venue's form is hurt alike.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Final, Literal, TypeAlias, get_args

import msgspec

from outcrier.errors import ConfigurationError
from outcrier.venues.exchange_side import StandInBook

MessageKind: TypeAlias = Literal[
    "drop", "duplicate", "reorder", "truncate", "alter", "cross", "unit", "rename_field"
]
SocketKind: TypeAlias = Literal["close", "announce", "stale", "half_open", "stall"]
RequestKind: TypeAlias = Literal["refuse_rest", "refuse_connects", "close_connects", "mute_connects"]
FaultKind: TypeAlias = MessageKind | SocketKind | RequestKind

MESSAGE_KINDS: Final[tuple[str, ...]] = get_args(MessageKind)
KINDS: Final[tuple[str, ...]] = (*MESSAGE_KINDS, *get_args(SocketKind), *get_args(RequestKind))

ABORT: Final = 1006
"""The close code of a connection that was cut without a word: the socket is aborted."""

UNIT_FACTOR: Final = 1000
"""A wrong unit: contracts of a thousandth counted as coins."""

_NEAR: Final = 200
"""Characters between a price and its quantity in one message: objects name other fields between them."""


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One fault and when it happens: with message `at`, or after `at_s` seconds; with neither, at once.

    drop, duplicate, reorder (after the next of its stream), truncate (half of it), alter (one quantity),
    cross (a bid at the price of an ask), unit (quantities a thousandfold), rename_field: messages, for every
    client. close, announce (a close, said `seconds` before by venues that do so), stale (connected, pings
    answered, nothing pushed), half_open (not even pings answered): sockets. stall: nothing to anybody.
    refuse_rest, refuse_connects (by the answer to the upgrade), close_connects (opened and cut at once),
    mute_connects (opened, pings answered, nothing said): requests.
    """

    kind: FaultKind
    at: int = 0
    """Number of the message, from 1, among those that `streams` takes; those it cannot hurt (no level, no
    bid) are left for the next.
    """
    at_s: float = 0.0
    """Seconds after the first subscription."""
    streams: str = "*"
    """Pattern of the names of streams; of targets for refuse_rest."""
    count: int = 1
    """How many messages, or requests; 0 = all (of requests: for `seconds`, where given)."""
    seconds: float = 0.0
    """How long it lasts: stall, refusals; stale and half_open: 0 = for good. announce: how long before."""
    one: bool = False
    """Sockets: only the one that is connected longest."""
    code: int = ABORT
    """Close code of close, announce and close_connects."""
    status: int = 503
    """Of refusals; 429 and 418 come with Retry-After."""
    retry_after_s: int = 1
    field: str = ""
    """Which one rename_field takes; empty = the first that holds an array."""

    def takes(self, stream: str) -> bool:
        """Whether it is about a stream or target."""
        return fnmatchcase(stream, self.streams)


class Injection(msgspec.Struct, frozen=True):
    """A fault that happened."""

    time_ns: int
    """Wall clock."""
    kind: str
    what: str
    """Stream, target, or how many sockets."""


def parse_fault(text: str) -> Fault:
    """A fault as written on a command line: `drop`, `close:at=100,code=1001`.

    Raises ConfigurationError, with what is allowed, for anything else.
    """
    kind, _, rest = text.partition(":")
    values: dict[str, str] = {"kind": kind}
    for part in filter(None, rest.split(",")):
        key, equals, value = part.partition("=")
        if not equals:
            raise ConfigurationError(f"fault {text!r}: {part!r} is no key=value")
        values[key] = value
    if kind not in KINDS:
        raise ConfigurationError(f"fault {text!r}: kinds are {', '.join(KINDS)}")
    try:
        return msgspec.convert(values, Fault, strict=False)
    except msgspec.ValidationError as error:
        keys = ", ".join(Fault.__struct_fields__[1:])
        raise ConfigurationError(f"fault {text!r}: {error}; keys are {keys}") from error


def random_faults(
    seed: int, kinds: Sequence[FaultKind], *, every_s: float, until_s: float, streams: str = "*"
) -> list[Fault]:
    """A schedule of a long run: faults of `kinds` at random moments, `every_s` apart on average. The same
    seed gives the same schedule.
    """
    rng = random.Random(seed)  # noqa: S311 - a schedule, no secret
    faults: list[Fault] = []
    now = rng.expovariate(1 / every_s)
    while now < until_s:
        faults.append(
            Fault(
                kind=rng.choice(kinds),
                at_s=now,
                streams=streams,
                seconds=rng.uniform(0.5, 5.0),
                one=rng.random() < 0.5,
                code=rng.choice((ABORT, 1001)),
                status=rng.choice((429, 503)),
            )
        )
        now += rng.expovariate(1 / every_s)
    return faults


class _Pending:
    """A fault that has not happened, or not often enough."""

    def __init__(self, fault: Fault, since_s: float) -> None:
        self.fault = fault
        self.seen = 0
        self.left = fault.count
        self.begun_s: float | None = None
        self._due_s = since_s + fault.at_s

    def is_due(self, now_s: float) -> bool:
        return self.seen >= self.fault.at and now_s >= self._due_s


class Schedule:
    """Faults to come. Times are of one monotonic clock."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._pending = [_Pending(fault, 0.0) for fault in faults]
        self._start_s: float | None = None

    def start(self, now_s: float) -> None:
        """The first subscription: `at_s` counts from here."""
        if self._start_s is None:
            self._start_s = now_s

    def add(self, fault: Fault, now_s: float) -> None:
        """One more, from now on."""
        since_s = 0.0 if self._start_s is None else now_s - self._start_s
        self._pending.append(_Pending(fault, since_s))

    def on_message(self, stream: str, now_s: float) -> list[Fault]:
        """Faults that are due with a message; each is then to be `done`, or stays for the next."""
        elapsed_s = 0.0 if self._start_s is None else now_s - self._start_s
        due = []
        for pending in self._pending:
            if pending.fault.kind in get_args(RequestKind) or not pending.fault.takes(stream):
                continue
            pending.seen += 1
            if pending.is_due(elapsed_s):
                due.append(pending.fault)
        return due

    def done(self, fault: Fault) -> None:
        """It happened once."""
        for pending in self._pending:
            if pending.fault is fault:
                pending.left -= 1
                if pending.left == 0:
                    self._pending.remove(pending)
                return

    def refusal(self, kind: RequestKind, target: str, now_s: float) -> Fault | None:
        """The fault that refuses a request now."""
        elapsed_s = 0.0 if self._start_s is None else now_s - self._start_s
        for pending in list(self._pending):
            fault = pending.fault
            if fault.kind != kind or not fault.takes(target) or elapsed_s < fault.at_s:
                continue
            pending.begun_s = now_s if pending.begun_s is None else pending.begun_s
            if fault.seconds and now_s - pending.begun_s > fault.seconds:
                self._pending.remove(pending)
                continue
            self.done(fault)
            return fault
        return None


# What faults make of a message.

Texts: TypeAlias = list[str] | None
"""Messages instead of the one; None = it cannot be hurt like that."""


def hurt(fault: Fault, text: str, book: StandInBook | None) -> Texts:
    """What is sent instead of a message; `book` is the one that the message is in already."""
    if fault.kind == "drop":
        return []
    if fault.kind == "duplicate":
        return [text, text]
    if fault.kind == "truncate":
        return [text[: len(text) // 2]]
    if fault.kind == "rename_field":
        return _renamed_field(text, fault.field)
    if book is None:
        return None
    return _LEVELS[fault.kind](text, book)


def _renamed_field(text: str, field: str) -> Texts:
    pattern = rf'"({re.escape(field)})"\s*:' if field else r'"(\w+)"\s*:\s*\['
    found = re.search(pattern, text)
    if found is None:
        return None
    return [f"{text[: found.start(1)]}{found[1]}_renamed{text[found.end(1) :]}"]


def _places(text: str, levels: Iterable[tuple[str, str]]) -> list[tuple[slice, slice]]:
    """Where levels of a book stand in a message: price and quantity."""
    places = []
    for price, qty in levels:
        if price not in text:  # Of a deep book nearly all are not.
            continue
        for at in re.finditer(_number(price), text):
            behind = re.compile(_number(qty)).search(text, at.end(), at.end() + _NEAR)
            if behind is not None:
                places.append((slice(*at.span()), slice(*behind.span())))
                break
    return places


def _number(word: str) -> str:
    """A printed number that is no part of a longer one."""
    return rf"(?<![\d.eE+-]){re.escape(word)}(?![\d.eE])"


def _altered(text: str, book: StandInBook) -> Texts:
    """The last digit of one quantity is another one."""
    bids, asks = book.levels()
    for _, qty in _places(text, [*bids, *asks]):
        word = text[qty]
        digit = "1" if word[-1] != "1" else "2"
        return [f"{text[: qty.start]}{word[:-1]}{digit}{text[qty.stop :]}"]
    return None


def _crossed(text: str, book: StandInBook) -> Texts:
    """A bid of the message has the price of the second ask of the book."""
    bids, asks = book.levels()
    for price, _ in _places(text, bids) if len(asks) > 1 else ():
        return [f"{text[: price.start]}{asks[1][0]}{text[price.stop :]}"]
    return None


def _wrong_unit(text: str, book: StandInBook) -> Texts:
    """Every quantity of the message is a thousand times what it was."""
    bids, asks = book.levels()
    places = sorted({qty.start: qty for _, qty in _places(text, [*bids, *asks])}.items(), reverse=True)
    if not places:
        return None
    for _, qty in places:
        text = f"{text[: qty.start]}{Decimal(text[qty]) * UNIT_FACTOR:f}{text[qty.stop :]}"
    return [text]


_LEVELS: Final[dict[str, Callable[[str, StandInBook], Texts]]] = {
    "alter": _altered,
    "cross": _crossed,
    "unit": _wrong_unit,
}
