"""`outcrier chaos`: a bad network between publisher and consumer."""

from __future__ import annotations

import re
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from outcrier import _core
from outcrier.cli.output import (
    Addresses,
    address_options,
    config_option,
    feed_option,
    json_line,
    log_to_stderr,
    read_config,
    until_stopped,
    with_multicast,
)
from outcrier.clock import mono_ns
from outcrier.config import MulticastConfig
from outcrier.errors import ConfigurationError, NetworkError
from outcrier.silence import small_buffer

LINES: Final = ("a", "b", "snapshot", "repair", "text")
"""Lines that are relayed. Its place tells the fate of a line from that of others with the same seed."""

TO_PORT_OFFSET: Final = 100
"""Where consumers listen unless told otherwise: so far above the port of the publisher."""

_SLICE_NS: Final = 200_000_000
"""Longest time in the core, so that Ctrl-C is answered within it."""

_REPORT_NS: Final = 1_000_000_000

_UNITS_NS: Final = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}


class _Percent(click.ParamType[int]):
    """A probability such as `5%` or `0.01%`, in parts per million."""

    name = "percent"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]+)?)%", value)
        ppm = Decimal(match[1]) * _core.Relay.PPM / 100 if match else Decimal(-1)
        if not 0 <= ppm <= _core.Relay.PPM or ppm != int(ppm):
            self.fail(f"{value!r} is no share: 5% or 0.01%, up to 100%, in steps of 0.0001%", param, ctx)
        return int(ppm)


class _Duration(click.ParamType[int]):
    """A time such as `1ms`, in nanoseconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(ns|us|ms|s)", value)
        if match is None:
            self.fail(f"{value!r} is no time: a number and one of {', '.join(_UNITS_NS)}", param, ctx)
        return int(Decimal(match[1]) * _UNITS_NS[match[2]])


class _Burst(click.ParamType[tuple[int, int]]):
    """`50/1000`: how many in a row, of how many."""

    name = "burst"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", value)
        if match is None:
            self.fail(f"{value!r} is no burst: 50/1000 loses 50 in a row of each 1000", param, ctx)
        return int(match[1]), int(match[2])


class _Lines(click.ParamType[tuple[str, ...]]):
    """Names of lines, separated by commas."""

    name = "lines"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        names = value if isinstance(value, tuple) else tuple(part.strip() for part in value.split(","))
        for name in names:
            if name not in LINES:
                self.fail(f"{name!r} is no line: there are {', '.join(LINES)}", param, ctx)
        return names


_F = TypeVar("_F", bound=Callable[..., Any])


def _share(name: str, text: str) -> Callable[[_F], _F]:
    return click.option(f"--{name}", type=_Percent(), default="0%", metavar="P%", help=text)


def _time(name: str, field: str, default: str, text: str) -> Callable[[_F], _F]:
    shown = f"{text}  [default: {default}]"
    return click.option(f"--{name}", field, type=_Duration(), default=default, metavar="TIME", help=shown)


@click.command("chaos", short_help="Put a bad network between publisher and consumer.")
@_share("loss", "Datagrams lost, each by itself.")
@click.option("--burst", type=_Burst(), metavar="N/M", help="Of each M datagrams N in a row are lost.")
@_share("reorder", "Datagrams held back, so that later ones overtake them.")
@_time("reorder-by", "reorder_ns", "200us", "Longest time that one is held back.")
@_share("duplicate", "Datagrams that come twice.")
@_share("corrupt", "Datagrams of which one to three bits flip.")
@_share("truncate", "Datagrams that are cut.")
@_share("garbage", "Datagrams that random bytes follow as one more.")
@_time("delay", "delay_ns", "0ms", "Delay of every datagram.")
@_time("jitter", "jitter_ns", "0ms", "Longest delay beside it; it keeps the order.")
@click.option(
    "--lines",
    type=_Lines(),
    default=",".join(LINES),
    show_default=True,
    metavar="NAMES",
    help="Lines to harm; the others are relayed as they are.",
)
@click.option("--seed", type=click.IntRange(0, 2**64 - 1), help="Repeats a run.  [default: drawn]")
@click.option("--to-port", type=click.IntRange(1, 65_535), help="Port to send to.  [default: port + 100]")
@click.option("--to-interface", metavar="IPV4", help="Interface to send by.  [default: that of the line]")
@click.option(
    "--for", "for_ns", type=_Duration(), metavar="TIME", help="End after so long.  [default: Ctrl-C]"
)
@click.option(
    "--json", "as_json", is_flag=True, help="One JSON object a second, on a line; the last is the sum."
)
@feed_option
@config_option
@address_options
def command(
    *,
    lines: tuple[str, ...],
    seed: int | None,
    to_port: int | None,
    to_interface: str | None,
    for_ns: int | None,
    as_json: bool,
    feed: str,
    config: Path | None,
    addresses: Addresses,
    **plan: Any,
) -> None:
    """Relay the lines of a feed to another port, through a network that loses, delays and damages.

    \b
    In three terminals:
      outcrier run
      outcrier chaos --loss 5% --burst 50/1000 --reorder 1% --seed 7
      outcrier tail --port 9101

    Each line has a fate of its own, and the same seed repeats it. Retransmission is by unicast and goes past
    the relay, straight to the server that the heartbeats name.
    """
    log_to_stderr()
    settings = with_multicast(read_config(config), feed, addresses)
    at: MulticastConfig = getattr(settings.multicast, feed)
    target = at.port + TO_PORT_OFFSET if to_port is None else to_port
    if target > 65_535:
        raise ConfigurationError(f"port {target} does not exist: name one by --to-port")
    seed = secrets.randbits(32) if seed is None else seed
    rcvbuf_bytes = settings.subscriber.rcvbuf_bytes
    with _errors():
        relay = _core.Relay(seed=seed, rcvbuf_bytes=rcvbuf_bytes, **plan)
        for name, line in lines_of(at, to_interface, target).items():
            relay.add_line(name, number=LINES.index(name), spared=name not in lines, **line)
    warning = small_buffer(relay.effective_rcvbuf(), rcvbuf_bytes)
    if warning:
        click.echo(f"outcrier: {warning}", err=True)
    reporter = _Reporter(relay, seed, as_json=as_json)
    reporter.begin(at.port, target)
    with until_stopped(), _errors():
        _relay(relay, reporter, for_ns)
    reporter.summary()
    if for_ns is not None and not any(counts["seen"] for _, counts in relay.counts()):
        at_text = f"port {at.port} of interface {at.interface}"
        raise NetworkError(f"nothing was heard on {at_text}: is a feed running?")


def lines_of(at: MulticastConfig, to_interface: str | None, to_port: int) -> dict[str, dict[str, Any]]:
    """From where to where each line goes that the family has."""
    groups = {
        "a": (at.group_a, at.interface),
        "b": (at.group_b, at.interface_b or at.interface),
        "snapshot": (at.group_snapshot, at.interface),
        "repair": (at.group_repair, at.interface),
        "text": (at.group_text, at.interface),
    }
    return {
        name: {
            "group": group,
            "interface": interface,
            "port": at.port,
            "ttl": at.ttl,
            "sources": at.sources,
            "reuse_port": at.reuse_port,
            "to_group": group,
            "to_interface": to_interface or interface,
            "to_port": to_port,
        }
        for name, (group, interface) in groups.items()
        if group
    }


@contextmanager
def _errors() -> Iterator[None]:
    """What the core says of sockets and plans, as what a person can mend."""
    try:
        yield
    except OSError as error:
        raise NetworkError(error.strerror or str(error)) from error
    except ValueError as error:
        raise ConfigurationError(str(error)) from error


def _relay(relay: _core.Relay, reporter: _Reporter, for_ns: int | None) -> None:
    start_ns = mono_ns()
    report_ns = start_ns + _REPORT_NS
    end_ns = None if for_ns is None else start_ns + for_ns
    while end_ns is None or mono_ns() < end_ns:
        until_ns = report_ns if end_ns is None else min(report_ns, end_ns)
        relay.run(max(0, min(_SLICE_NS, until_ns - mono_ns())))
        if mono_ns() >= report_ns:
            report_ns += _REPORT_NS
            reporter.tick()


class _Reporter:
    """What the relay did: a line a second, and the sum."""

    def __init__(self, relay: _core.Relay, seed: int, *, as_json: bool) -> None:
        self._relay = relay
        self._seed = seed
        self._as_json = as_json
        self._start_ns = mono_ns()

    def begin(self, port: int, to_port: int) -> None:
        """What is about to happen, and how to have it again."""
        if not self._as_json:
            names = ", ".join(name for name, _ in self._relay.counts())
            self._write(f"outcrier chaos: seed {self._seed}; {names} of port {port} go to port {to_port}")

    def tick(self) -> None:
        """A line of sums."""
        if self._as_json:
            self._object()
            return
        sums: dict[str, int] = {}
        for _, counts in self._relay.counts():
            for name, count in counts.items():
                sums[name] = sums.get(name, 0) + count
        waiting = {"waiting": self._relay.waiting()}
        self._line(f"{self._seconds():.0f} s", sums | waiting)

    def summary(self) -> None:
        """What each line went through."""
        if self._as_json:
            self._object()
            return
        self._write(f"{self._seconds():.1f} s, seed {self._seed}")
        for name, counts in self._relay.counts():
            self._line(f"  {name}", counts)

    def _seconds(self) -> float:
        return (mono_ns() - self._start_ns) / 1e9

    def _object(self) -> None:
        lines = dict(self._relay.counts())
        now = {"seconds": self._seconds(), "seed": self._seed, "waiting": self._relay.waiting()}
        self._write(json_line(now | {"lines": lines}))

    def _line(self, name: str, counts: dict[str, int]) -> None:
        told = [f"{counts[what]:,} {word}" for what, word in _WORDS.items() if counts.get(what)]
        self._write(f"{name}: {', '.join(told) or 'nothing heard'}")

    @staticmethod
    def _write(text: str) -> None:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


_WORDS: Final = {
    "seen": "seen",
    "lost": "lost",
    "burst_lost": "lost in bursts",
    "duplicated": "doubled",
    "reordered": "held back",
    "corrupted": "corrupted",
    "truncated": "cut",
    "garbage": "garbage",
    "sent": "sent",
    "queue_full": "dropped for want of room",
    "refused": "refused by the kernel",
    "kernel_drops": "buffers dropped by the kernel before the relay",
    "waiting": "waiting",
}
