"""The configuration: one TOML file, overridden by the environment. `config/outcrier.toml` shows every key.

    Config
    ├── feeder      FeederConfig
    ├── multicast   crypto: MulticastConfig
    ├── subscriber  SubscriberConfig
    └── venues      one VenueConfig per name

The structs below are the only place where a key, its unit, default, limits and effect are written; `render`
makes the commented file from them. `OUTCRIER__SECTION__KEY=value` overrides a key
(`OUTCRIER__VENUES__BINANCE__SYMBOLS='["BTC/USDT"]'`).
"""

from __future__ import annotations

import ipaddress
import os
import tomllib
import typing
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from outcrier.errors import ConfigurationError
from outcrier.venue_numbers import VENUE_NUMBERS

ENVIRONMENT_PREFIX: Final = "OUTCRIER__"
"""Environment variables that begin with this override keys; two underscores stand for the dot."""

DEFAULT_VENUES: Final = ("binance", "binance_usdm", "binance_coinm")
"""Venues that are on unless the configuration says otherwise; the others are named to be on."""

_FILE_BYTES_MAX: Final = 1024 * 1024
"""No configuration is this long; a wrong path (a device, a capture) must not be read whole."""


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One table of the file."""


_S = TypeVar("_S", bound=_Section)


class FeederConfig(_Section, frozen=True):
    """What the feeder process does."""

    state_dir: Annotated[
        str,
        Meta(
            description="Directory of session numbers and instrument ids; they must outlive the process.",
            extra={"unit": "path; empty = $XDG_STATE_HOME/outcrier, else ~/.local/state/outcrier"},
        ),
    ] = ""
    limited_mode: Annotated[
        bool,
        Meta(
            description="Publish 10 instruments per venue, kind and quote. LIMITED_MODE=true sets it too.",
            extra={"unit": "true or false"},
        ),
    ] = False
    event_loop: Annotated[
        Literal["auto", "uvloop", "asyncio"],
        Meta(
            description="Event loop: auto takes uvloop where it is installed.",
            extra={"unit": "auto, uvloop or asyncio"},
        ),
    ] = "auto"
    busy_poll: Annotated[
        bool,
        Meta(
            description=(
                "Never sleep while waiting for messages: takes one core whole, and saves each message the"
                " wake-up of a sleeping core, which is most of its way through the feeder."
            ),
            extra={"unit": "true or false"},
        ),
    ] = False
    take_over: Annotated[
        bool,
        Meta(
            description=(
                "Start beside a publisher that is heard on the same channels: ours has the higher session,"
                " consumers switch to it and the other one falls silent. Otherwise that is an error."
            ),
            extra={"unit": "true or false"},
        ),
    ] = False
    key_file: Annotated[
        str,
        Meta(
            description=(
                "File with the keys that sign every frame: a line of 64 hex digits a key, its number and a"
                " colon before it; the first one signs. Others must not be able to read it. SIGHUP reads it"
                " again."
            ),
            extra={"unit": "path, or credential:NAME of systemd; empty = frames are not signed"},
        ),
    ] = ""
    control_dir: Annotated[
        str,
        Meta(
            description=(
                "Directory of the sockets for `outcrier ctl`, one a process; nobody but the owner may use"
                " them."
            ),
            extra={"unit": "path; empty = $RUNTIME_DIRECTORY (set by systemd), else control in state_dir"},
        ),
    ] = ""
    history_bytes_max: Annotated[
        int,
        Meta(
            ge=0,
            le=1 << 32,
            description=(
                "Memory for the last messages of each instrument, up to 10,000 of one, that `outcrier book"
                " SYMBOL --history` shows; shared by the venues. The oldest leave first; 0 = none are kept."
            ),
            extra={"unit": "bytes, 0 to 4294967296"},
        ),
    ] = 128 * 1024 * 1024
    retransmit: Annotated[
        bool,
        Meta(
            description=(
                "Keep what was sent (a minute, 2^20 messages or 256 MiB, the least) and send it again to"
                " consumers that ask; images for late joiners too."
            ),
            extra={"unit": "true or false"},
        ),
    ] = True
    log_dir: Annotated[
        str,
        Meta(
            description=(
                "Directory of the log of everything published; consumers can then have more than the last"
                " minute again. One feeder writes it."
            ),
            extra={"unit": "path; empty = no log"},
        ),
    ] = ""
    log_segment_mb: Annotated[
        int,
        Meta(
            ge=16,
            le=2048,
            description="A segment of the log ends before it is longer; the space for one is reserved ahead.",
            extra={"unit": "MiB, 16 to 2048"},
        ),
    ] = 64
    log_retain_gb: Annotated[
        int,
        Meta(
            ge=0,
            le=1_000_000,
            description="The oldest segments are removed while all together are longer; 0 = no limit.",
            extra={"unit": "GiB, 0 to 1000000"},
        ),
    ] = 16
    log_retain_hours: Annotated[
        int,
        Meta(
            ge=0,
            le=1_000_000,
            description="A segment is removed when its last message is older; 0 = no limit.",
            extra={"unit": "hours, 0 to 1000000"},
        ),
    ] = 168
    log_sync_ms: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000,
            description="Longest time that a message waits for the disk: what a power cut costs.",
            extra={"unit": "milliseconds, 1 to 10000"},
        ),
    ] = 50
    manifest_key_file: Annotated[
        str,
        Meta(
            description=(
                "File with the Ed25519 key (64 hex digits) that signs once a second what was logged, so that"
                " no consumer can forge the feed. Needs log_dir. Others must not be able to read it."
            ),
            extra={"unit": "path, or credential:NAME of systemd; empty = no manifests"},
        ),
    ] = ""
    operator_log: Annotated[
        str,
        Meta(
            description=(
                "File for what `outcrier run` has to tell its operator, a JSON object a line; nothing is then"
                " on the terminal. One feeder writes it, and rotates it itself. The directory must be there."
            ),
            extra={"unit": "path; empty = text on stderr"},
        ),
    ] = ""
    operator_log_mb: Annotated[
        int,
        Meta(
            ge=1,
            le=1024,
            description="The operator's log goes on in a new file before it is longer.",
            extra={"unit": "MiB, 1 to 1024"},
        ),
    ] = 16
    operator_log_files: Annotated[
        int,
        Meta(
            ge=1,
            le=100,
            description="Files of it that are kept, the one in use counted; the oldest goes.",
            extra={"unit": "files, 1 to 100"},
        ),
    ] = 8
    health_port: Annotated[
        int,
        Meta(
            ge=0,
            le=65_535,
            description=(
                "TCP port of 127.0.0.1 on which `outcrier run` answers GET /health (is every venue live?) and"
                " GET /metrics (Prometheus)."
            ),
            extra={"unit": "port number, 1 to 65535; 0 = off"},
        ),
    ] = 0
    instruments_refresh_s: Annotated[
        int,
        Meta(
            ge=10,
            le=86_400,
            description="How often instrument lists are read again for changes of status, tick and lot.",
            extra={"unit": "seconds, 10 to 86400"},
        ),
    ] = 600


class MulticastConfig(_Section, frozen=True):
    """Where one family of channels is published and heard."""

    interface: Annotated[
        str,
        Meta(
            description="Address of the interface to send and receive by; 127.0.0.1 stays on this host.",
            extra={"unit": "IPv4 address", "check": "ipv4"},
        ),
    ] = "127.0.0.1"
    group_a: Annotated[
        str,
        Meta(
            description="Multicast group of line A, the live messages.",
            extra={"unit": "IPv4 multicast address", "check": "group"},
        ),
    ] = "239.192.90.1"
    interface_b: Annotated[
        str,
        Meta(
            description="Address of the interface of line B: another card and switch where there is one.",
            extra={"unit": "IPv4 address; empty = the interface of line A", "check": "ipv4 or empty"},
        ),
    ] = ""
    group_b: Annotated[
        str,
        Meta(
            description="Multicast group of line B, the same messages once more; empty = one line only.",
            extra={"unit": "IPv4 multicast address; empty = none", "check": "group or empty"},
        ),
    ] = "239.192.90.2"
    group_snapshot: Annotated[
        str,
        Meta(
            description="Multicast group of the snapshot plane, joined by consumers while they need it.",
            extra={"unit": "IPv4 multicast address", "check": "group"},
        ),
    ] = "239.192.90.3"
    group_text: Annotated[
        str,
        Meta(
            description="Multicast group of the text lines for monitors.",
            extra={"unit": "IPv4 multicast address", "check": "group"},
        ),
    ] = "239.192.90.4"
    group_repair: Annotated[
        str,
        Meta(
            description="Multicast group of messages sent again for many consumers at once; empty = none.",
            extra={"unit": "IPv4 multicast address; empty = none", "check": "group or empty"},
        ),
    ] = "239.192.90.5"
    port: Annotated[
        int,
        Meta(
            ge=1, le=65_535, description="UDP port of all groups.", extra={"unit": "port number, 1 to 65535"}
        ),
    ] = 9001
    sources: Annotated[
        tuple[str, ...],
        Meta(
            max_length=10,
            description="Addresses whose frames consumers hear; empty = everybody's.",
            extra={"unit": "list of IPv4 addresses, at most 10", "check": "ipv4 list"},
        ),
    ] = ()
    reuse_port: Annotated[
        bool,
        Meta(
            description=(
                "Share the port by SO_REUSEPORT alone: processes of other users cannot bind it. All consumers"
                " and publishers of the host must have the same setting."
            ),
            extra={"unit": "true or false"},
        ),
    ] = False
    ttl: Annotated[
        int,
        Meta(
            ge=0,
            le=1,
            description="How far frames travel: 0 this host, 1 this network.",
            extra={"unit": "hops, 0 or 1"},
        ),
    ] = 0
    retransmit_port: Annotated[
        int,
        Meta(
            ge=0,
            le=65_535,
            description=(
                "UDP port for requests to send again, on the interface of line A; any other if it is taken."
                " Consumers learn it from the feed."
            ),
            extra={"unit": "port number; 0 = any free one"},
        ),
    ] = 9011
    replay_port: Annotated[
        int,
        Meta(
            ge=0,
            le=65_535,
            description="The same by TCP, for history and images.",
            extra={"unit": "port number; 0 = any free one"},
        ),
    ] = 9021
    line_mbit_per_s: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="Rate of the network: what is sent again takes at most 5 % of it.",
            extra={"unit": "Mbit/s, 1 to 1000000"},
        ),
    ] = 1_000


class MulticastSections(_Section, frozen=True):
    """One MulticastConfig per family of channels."""

    crypto: MulticastConfig = MulticastConfig()
    stock: MulticastConfig = MulticastConfig(
        group_a="239.192.90.11",
        group_b="239.192.90.12",
        group_snapshot="239.192.90.13",
        group_text="239.192.90.14",
        group_repair="239.192.90.15",
        port=9002,
        retransmit_port=9012,
        replay_port=9022,
    )


FAMILIES: Final = MulticastSections.__struct_fields__
"""Families of channels by name."""


class SubscriberConfig(_Section, frozen=True):
    """What consumers do."""

    rcvbuf_bytes: Annotated[
        int,
        Meta(
            ge=212_992,
            le=1_073_741_824,
            description=(
                "Receive buffer asked of the kernel, which doubles it; without CAP_NET_ADMIN at most twice"
                " net.core.rmem_max. A smaller one loses frames in bursts."
            ),
            extra={"unit": "bytes, 212992 to 1073741824"},
        ),
    ] = 16_777_216
    key_file: Annotated[
        str,
        Meta(
            description="Keys of the frames, a line of 64 hex digits each; frames without a MAC are dropped.",
            extra={"unit": "path; empty = no keys"},
        ),
    ] = ""
    manifest_key: Annotated[
        str,
        Meta(
            description="The publisher's Ed25519 key, which signs once a second what it published.",
            extra={"unit": "64 hex digits; empty = signatures are not checked"},
        ),
    ] = ""


class VenueConfig(_Section, frozen=True):
    """One venue and product."""

    enabled: Annotated[
        bool, Meta(description="Whether the feeder publishes the venue.", extra={"unit": "true or false"})
    ] = False
    ws_url: Annotated[
        str,
        Meta(
            description="Base of the WebSocket URLs. A host not the venue's own is published as TEST.",
            extra={"unit": "ws:// or wss:// URL; empty = the venue's own", "check": "ws"},
        ),
    ] = ""
    rest_url: Annotated[
        str,
        Meta(
            description="Base of the REST URLs. A host not the venue's own is published as TEST.",
            extra={"unit": "http:// or https:// URL; empty = the venue's own", "check": "http"},
        ),
    ] = ""
    symbols: Annotated[
        tuple[str, ...],
        Meta(
            description=(
                'Instruments to publish, by our symbol or the venue\'s; "*" = all that trade, rules such as'
                ' "perpetual:USDT", "spot:*" or "*:USD" = all of a kind and quote, followed as they change.'
            ),
            extra={"unit": 'list of symbols, such as ["BTC/USDT", "ETHUSDT"]'},
        ),
    ] = ("*",)
    channels: Annotated[
        tuple[str, ...],
        Meta(
            description="Kinds of messages to subscribe to; empty = the venue's usual ones.",
            extra={"unit": 'list of kinds, such as ["depth", "trade"]'},
        ),
    ] = ()
    key_file: Annotated[
        str,
        Meta(
            description=(
                "File with the API key of an account, which some kinds of messages need: lines `key = ..`,"
                " `secret = ..` and, where the venue has one, `passphrase = ..`. Others must not be able to"
                " read it. It is read when the venue starts."
            ),
            extra={
                "unit": "path, or credential:NAME of systemd; empty = kinds that need one are not offered"
            },
        ),
    ] = ""
    depth_speed: Annotated[
        str,
        Meta(
            description="Interval of the book's changes, as the venue names it (Binance: 100ms, 1000ms).",
            extra={"unit": "text; empty = the venue's usual one"},
        ),
    ] = ""
    infer_orders: Annotated[
        bool,
        Meta(
            description=(
                "Infer the orders of each book from its levels and trades, and publish them too (ORDER_OPS,"
                " ORDER_SNAPSHOT): two to three times the bytes."
            ),
            extra={"unit": "true or false"},
        ),
    ] = False


def _default_venues() -> dict[str, VenueConfig]:
    return {name: VenueConfig(enabled=True) for name in DEFAULT_VENUES}


class Config(_Section, frozen=True):
    """The whole configuration."""

    feeder: FeederConfig = FeederConfig()
    multicast: MulticastSections = MulticastSections()
    subscriber: SubscriberConfig = SubscriberConfig()
    venues: dict[str, VenueConfig] = msgspec.field(default_factory=_default_venues)

    def enabled_venues(self) -> dict[str, VenueConfig]:
        """The venues to publish, in the order of their numbers."""
        return {name: venue for name, venue in self.venues.items() if venue.enabled}


def load(path: Path | None, environ: Mapping[str, str] | None = None) -> Config:
    """The configuration of a file (None = defaults only) and the environment (None = the process's).

    Raises ConfigurationError, one line that names the file or variable, the key and what is allowed.
    """
    environ = os.environ if environ is None else environ
    raw: dict[str, Any] = {} if path is None else _read(path)
    sources: dict[str, str] = {}
    for name, keys, text in _overrides(environ):
        _set(raw, keys, _environment_value(keys, text), name)
        sources[".".join(keys)] = name
    limited = environ.get("LIMITED_MODE", "")
    if limited:
        if limited.lower() not in {"true", "false", "1", "0"}:
            raise ConfigurationError(f"LIMITED_MODE: {limited!r} is neither true nor false")
        _set(raw, ["feeder", "limited_mode"], limited.lower() in {"true", "1"}, "LIMITED_MODE")
        sources["feeder.limited_mode"] = "LIMITED_MODE"
    return _build(raw, _Where(str(path) if path else "configuration", sources))


def render(config: Config) -> str:
    """The configuration as a commented TOML file: each key with its effect, unit and default. `load` gives it
    back equal.
    """
    lines = [
        "# Configuration of Outcrier. Every key stands here with its effect, unit and default; what you",
        "# leave out keeps its default. OUTCRIER__SECTION__KEY in the environment overrides a key (two",
        "# underscores a dot), such as OUTCRIER__MULTICAST__CRYPTO__PORT=9101. Unknown keys are refused.",
    ]
    _render_section(lines, "feeder", config.feeder, FeederConfig())
    families = MulticastSections()
    for family in FAMILIES:
        name = f"multicast.{family}"
        _render_section(lines, name, getattr(config.multicast, family), getattr(families, family))
    _render_section(lines, "subscriber", config.subscriber, SubscriberConfig())
    lines += [
        "",
        "# Every other venue of `outcrier venues` has a table with the same keys, off unless enabled = true.",
    ]
    defaults = _default_venues()
    for name in sorted(defaults | config.venues, key=lambda name: VENUE_NUMBERS[name]):
        # A venue that the configuration does not hold is off.
        default = defaults.get(name, VenueConfig())
        _render_section(lines, f"venues.{name}", config.venues.get(name, VenueConfig()), default)
    return "\n".join(lines) + "\n"


class _Where:
    """Names the origin of a key in messages."""

    def __init__(self, file: str, variables: Mapping[str, str]) -> None:
        self._file = file
        self._variables = variables

    def error(self, key: str, problem: str) -> ConfigurationError:
        variable = self._variables.get(key)
        if variable is not None:
            return ConfigurationError(f"{variable} ({key}): {problem}")
        return ConfigurationError(f"{self._file}: {key}: {problem}")


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    if len(data) > _FILE_BYTES_MAX:
        raise ConfigurationError(f"{path}: longer than {_FILE_BYTES_MAX:,} bytes, not a configuration")
    try:
        return tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: not TOML: {error}") from error


def _overrides(environ: Mapping[str, str]) -> Iterator[tuple[str, list[str], str]]:
    for name in sorted(environ):
        if name.startswith(ENVIRONMENT_PREFIX):
            yield name, name[len(ENVIRONMENT_PREFIX) :].lower().split("__"), environ[name]


def _environment_value(keys: list[str], text: str) -> Any:
    """A variable's text as TOML; bare words are text, so that paths and URLs need no quotes."""
    fields = [field for section in _SECTIONS for field in msgspec.structs.fields(section)]
    if any(field.name == keys[-1] and _base_type(field.type) is str for field in fields):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _set(raw: dict[str, Any], keys: list[str], value: Any, name: str) -> None:
    table = raw
    for key in keys[:-1]:
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            raise ConfigurationError(f"{name}: {key} is not a table")
    table[keys[-1]] = value


def _build(raw: dict[str, Any], where: _Where) -> Config:
    _refuse_unknown(raw, [f.name for f in msgspec.structs.fields(Config)], "", where)
    multicast = _table(raw.get("multicast", {}), "multicast", where)
    _refuse_unknown(multicast, list(FAMILIES), "multicast.", where)
    tables = _table(raw.get("venues", {}), "venues", where)
    _refuse_unknown(tables, list(VENUE_NUMBERS), "venues.", where)
    families = MulticastSections()
    venues = _default_venues()
    for name in sorted(tables, key=lambda name: VENUE_NUMBERS[name]):
        venues[name] = _section(tables, name, "venues.", venues.get(name, VenueConfig()), where)
    venues = dict(sorted(venues.items(), key=lambda named: VENUE_NUMBERS[named[0]]))
    return Config(
        feeder=_section(raw, "feeder", "", FeederConfig(), where),
        multicast=MulticastSections(
            **{
                family: _section(multicast, family, "multicast.", getattr(families, family), where)
                for family in FAMILIES
            }
        ),
        subscriber=_section(raw, "subscriber", "", SubscriberConfig(), where),
        venues=venues,
    )


def _table(value: Any, key: str, where: _Where) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise where.error(key, "it must be a table")
    return value


def _refuse_unknown(table: Mapping[str, Any], known: list[str], prefix: str, where: _Where) -> None:
    for key in table:
        if key not in known:
            near = get_close_matches(key, known, n=1)
            hint = f"did you mean {prefix}{near[0]}?" if near else f"known are {', '.join(known)}"
            raise where.error(prefix + key, f"unknown key; {hint}")


def _section(parent: Mapping[str, Any], name: str, prefix: str, default: _S, where: _Where) -> _S:
    table = _table(parent.get(name, {}), prefix + name, where)
    prefix = f"{prefix}{name}."
    fields = {field.name: field for field in msgspec.structs.fields(type(default))}
    _refuse_unknown(table, list(fields), prefix, where)
    values: dict[str, Any] = {}
    for key, value in table.items():
        unit = meta_of(fields[key].type)["unit"]
        try:
            values[key] = msgspec.convert(value, fields[key].type)
        except msgspec.ValidationError:
            raise where.error(prefix + key, f"{value!r} is not allowed; it takes {unit}") from None
        check = _CHECKS.get(meta_of(fields[key].type).get("check", ""))
        if check is not None and not check(values[key]):
            raise where.error(prefix + key, f"{value!r} is not allowed; it takes {unit}")
    return msgspec.structs.replace(default, **values)


def _is_ipv4(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def _is_url(text: str, schemes: set[str]) -> bool:
    try:
        parts = urlsplit(text)
        return text == "" or (parts.scheme in schemes and bool(parts.hostname) and parts.port != 0)
    except ValueError:
        return False


def _is_group(text: str) -> bool:
    return _is_ipv4(text) and ipaddress.IPv4Address(text).is_multicast


_CHECKS: Final[dict[str, Callable[[Any], bool]]] = {
    "ipv4": _is_ipv4,
    "ipv4 or empty": lambda text: not text or _is_ipv4(text),
    "ipv4 list": lambda addresses: all(map(_is_ipv4, addresses)),
    "group": _is_group,
    "group or empty": lambda text: not text or _is_group(text),
    "ws": lambda text: _is_url(text, {"ws", "wss"}),
    "http": lambda text: _is_url(text, {"http", "https"}),
}

_SECTIONS: Final = (FeederConfig, MulticastConfig, SubscriberConfig, VenueConfig)


def meta_of(kind: Any) -> dict[str, str]:
    """`description`, `unit` and `check` of an annotated field type."""
    meta = next(m for m in typing.get_args(kind)[1:] if isinstance(m, Meta))
    return {"description": meta.description or "", **(meta.extra or {})}


def _base_type(kind: Any) -> Any:
    return typing.get_args(kind)[0]


def _render_section(lines: list[str], name: str, section: _Section, default: _Section) -> None:
    lines += ["", f"[{name}]"]
    for field in msgspec.structs.fields(type(section)):
        meta = meta_of(field.type)
        lines.append(f"# {meta['description']}")
        lines.append(f"# Takes {meta['unit']}. Default: {_toml(getattr(default, field.name))}")
        lines.append(f"{field.name} = {_toml(getattr(section, field.name))}")


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    # A JSON string is a TOML basic string, but for DEL, which no value here holds.
    return msgspec.json.encode(value).decode()
