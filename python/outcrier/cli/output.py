"""What the verbs share: options for the wire, printing that is fit for pipes, and ending by a signal."""

from __future__ import annotations

import functools
import ipaddress
import logging
import math
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

import click
import msgspec

from outcrier.config import FAMILIES, Config, load
from outcrier.events import BookDelta, BookSnapshot, Event
from outcrier.prices import PriceKind
from outcrier.subscriber import Subscriber
from outcrier.venue_numbers import VENUE_NUMBERS

DEFAULT_CONFIG: Final = Path("config/outcrier.toml")
"""Read where --config names no file and this one exists."""

_P = ParamSpec("_P")
_R = TypeVar("_R")

_ENCODER: Final = msgspec.json.Encoder()


class Stopped(BaseException):
    """SIGINT or SIGTERM came; not an Exception, so that nothing on the way takes it for a fault."""


@contextmanager
def until_stopped() -> Iterator[None]:
    """SIGINT and SIGTERM end the block quietly."""

    def stop(*_: object) -> None:
        raise Stopped

    before = [(number, signal.signal(number, stop)) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        yield
    except Stopped:
        pass
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def read_config(path: Path | None) -> Config:
    """The configuration of `path`, else of config/outcrier.toml if it is there, else the defaults;
    environment on top.
    """
    if path is None and DEFAULT_CONFIG.is_file():
        path = DEFAULT_CONFIG
    return load(path)


def capture_options(function: Callable[..., _R], *, required: bool = True) -> Callable[..., _R]:
    """Adds the captures and how they are read: `captures`, `speed`, `venue`, `instruments`."""
    for option in (
        click.option(
            "--instruments",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Instrument list of the venue.  [default: the one beside the captures]",
        ),
        click.option(
            "--venue",
            type=click.Choice(list(VENUE_NUMBERS)),
            metavar="VENUE",
            help="Venue of the captures.  [default: the only one whose captures they are]",
        ),
        click.option(
            "--speed",
            type=SPEED,
            default="1",
            show_default=True,
            metavar="1|N|max",
            help="Factor of the recorded pace.",
        ),
        click.argument(
            "captures", nargs=-1, required=required, metavar="CAPTURE...", type=click.Path(path_type=Path)
        ),
    ):
        function = option(function)
    return function


def config_option(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """--config FILE, given as `config: Path | None`."""
    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Configuration; without it config/outcrier.toml if there is one, else the defaults.",
    )(function)


def wire_options(function: Callable[..., _R]) -> Callable[..., _R]:
    """--config, --interface, --group, ... and --port, given as one `wire: Config`."""

    @functools.wraps(function)
    def resolved(*args: Any, config: Path | None, addresses: Addresses, **rest: Any) -> _R:
        return function(*args, wire=with_multicast(read_config(config), "crypto", addresses), **rest)

    return config_option(address_options(resolved))


Addresses = dict[str, Any]
"""What was given of a family's addresses, by the names of `MulticastConfig`."""

_ADDRESSES: Final = (
    ("interface", "--interface", False, "Address of the interface."),
    ("interface_b", "--interface-b", False, "Address of the interface of line B."),
    (
        "group_a",
        "--group",
        True,
        "Multicast group of line A; given alone it stands alone: no line B, no repair.",
    ),
    ("group_b", "--group-b", True, "Group of line B."),
    ("group_snapshot", "--snapshot-group", True, "Group of the snapshot plane."),
    ("group_repair", "--repair-group", True, "Group of what is sent again for several."),
    ("group_text", "--text-group", True, "Group of the text lines."),
)
"""Key of `MulticastConfig`, option, whether it is a group, help."""


def address_options(function: Callable[..., _R]) -> Callable[..., _R]:
    """--interface, --group, ... and --port, given as `addresses`."""

    @functools.wraps(function)
    def gathered(*args: Any, **rest: Any) -> _R:
        names = [name for name, *_ in _ADDRESSES] + ["port"]
        given = {name: value for name in names if (value := rest.pop(name)) is not None}
        return function(*args, addresses=given, **rest)

    options: list[Callable[[Callable[..., _R]], Callable[..., _R]]] = [
        click.option(
            option,
            name,
            type=_Ipv4(multicast=multicast),
            metavar="IPV4",
            help=f"{text}  [default: configuration]",
        )
        for name, option, multicast, text in _ADDRESSES
    ]
    options.append(
        click.option("--port", type=click.IntRange(1, 65_535), help="UDP port.  [default: configuration]")
    )
    for option in reversed(options):
        gathered = option(gathered)
    return gathered


def feed_option(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """--feed FAMILY, given as `feed`."""
    return click.option(
        "--feed",
        type=click.Choice(FAMILIES),
        default=FAMILIES[0],
        show_default=True,
        help="Family of channels: the addresses that the configuration gives it.",
    )(function)


def with_multicast(config: Config, family: str, addresses: Addresses) -> Config:
    """`config` with other addresses of one family; a group of line A that is given alone stands alone."""
    if "group_a" in addresses:
        addresses = {"group_b": "", "group_repair": "", **addresses}
    section = msgspec.structs.replace(getattr(config.multicast, family), **addresses)
    multicast = msgspec.structs.replace(config.multicast, **{family: section})
    return msgspec.structs.replace(config, multicast=multicast)


class _Ipv4(click.ParamType[str]):
    """An IPv4 address; of a multicast group where told."""

    name = "ipv4"

    def __init__(self, *, multicast: bool) -> None:
        self._multicast = multicast

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            address = ipaddress.IPv4Address(value)
        except ValueError:
            self.fail(f"{value!r} is no IPv4 address", param, ctx)
        if self._multicast and not address.is_multicast:
            self.fail(f"{value} is no multicast group: those are 224.0.0.0 to 239.255.255.255", param, ctx)
        return str(address)


class _Speed(click.ParamType[float | None]):
    """A factor of the recorded pace above 0, or `max`, which is None."""

    name = "speed"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | None:
        if value == "max":
            return None
        try:
            factor = float(value)
        except ValueError:
            factor = math.nan
        if not 0 < factor < math.inf:
            self.fail(f"{value!r} is neither a factor above 0 nor max", param, ctx)
        return factor


SPEED: Final = _Speed()
"""Type of --speed."""


def subscriber(
    wire: Config,
    *,
    symbols: Sequence[str] | None = None,
    types: Sequence[str] | None = None,
    timeout: float | None = None,
    prices: PriceKind = "decimal",
) -> Subscriber:
    """A Subscriber on the configured addresses that takes REPLAY and TEST too: the verbs show these words."""
    crypto = wire.multicast.crypto
    return Subscriber(
        "crypto",
        symbols=symbols,
        types=types,
        accept={"replay", "test"},
        prices=prices,
        interface=crypto.interface,
        interface_b=crypto.interface_b,
        group=crypto.group_a,
        group_b=crypto.group_b,
        snapshot_group=crypto.group_snapshot,
        repair_group=crypto.group_repair,
        port=crypto.port,
        rcvbuf_bytes=wire.subscriber.rcvbuf_bytes,
        sources=crypto.sources,
        reuse_port=crypto.reuse_port,
        key_file=wire.subscriber.key_file or None,
        manifest_key=wire.subscriber.manifest_key,
        timeout=timeout,
    )


def log_to_stderr(level: int = logging.WARNING, *, times: bool = False) -> None:
    """Log lines go to stderr as `outcrier: text`; `times`: with UTC time and level, for a process that runs
    for long.
    """
    form = "%(asctime)s %(levelname)s %(name)s: %(message)s" if times else "outcrier: %(message)s"
    logging.basicConfig(level=level, stream=sys.stderr, format=form)
    logging.Formatter.converter = lambda *at: datetime.fromtimestamp(at[-1], UTC).timetuple()


def json_line(value: Any) -> str:
    """One JSON object without line break; exact decimals are text."""
    return _ENCODER.encode(value).decode()


def clean(text: str) -> str:
    """`text` from outside without what could steer a terminal."""
    return "".join(char if char.isprintable() else "?" for char in text)


def words(event_flags: Sequence[str]) -> str:
    """REPLAY, TEST, CROSSED and SUSPECT where they hold: words that nobody shall overlook."""
    shown = ("replay", "test", "crossed", "suspect")
    return " ".join(name.upper() for name in shown if name in event_flags)


def utc(time_ns: int) -> str:
    """`time_ns` as UTC time of day with microseconds; `-` for 0, which is no time."""
    if not time_ns:
        return "-"
    seconds, nanos = divmod(time_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%H:%M:%S}.{nanos // 1000:06d}"


def is_terminal() -> bool:
    """Whether stdout is looked at by a person."""
    return sys.stdout.isatty()


def describe(event: Event) -> str:
    """`event` as a line for people."""
    parts = [
        utc(event.exchange_ts),
        event.symbol or event.venue or "-",
        event.state.value,
        words(event.flags),
    ]
    parts += [str(event.__struct_config__.tag).replace("_", " "), *_details(event)]
    return clean(" ".join(part for part in parts if part))


_COMMON: Final = frozenset(field.name for field in msgspec.structs.fields(Event))


def _details(event: Event) -> Iterator[str]:
    for name in event.__struct_fields__:
        if name not in _COMMON:
            yield from _detail(name, getattr(event, name), event)


def _detail(name: str, value: Any, event: Event) -> Iterator[str]:
    if name in ("bids", "asks"):
        # The first level of a change may be removed or deep in the book, and so may that of a fragment.
        whole = isinstance(event, BookSnapshot) and event.fragments == 1
        best = f" best {value[0].qty} @ {value[0].price}" if whole and value else ""
        changed = " changed" if isinstance(event, BookDelta) else ""
        yield f"{len(value)} {name}{changed}{best}"
    elif name in ("bid", "ask"):
        yield f"{name} {value.qty} @ {value.price}" if value else f"{name} -"
    elif name == "instrument":
        yield f"{value.kind} tick {value.tick} lot {value.lot} {value.status}" if value else ""
    elif isinstance(value, tuple):
        yield from value
    elif name.endswith("_ts") and value == 0:
        yield f"{name}=-"
    elif value is not None and value != "":
        yield f"{name}={value}"
