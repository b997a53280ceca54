"""A Wireshark dissector, in Lua, made from the table that the codec is made from. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any, Final

from outcrier._core import __version__, wire_layouts
from outcrier.layout import ORDER_FLAGS, ORDER_OPERATIONS, REASONS, RETX_CODES, SIDES
from outcrier.venue_numbers import VENUE_NAMES
from outcrier.views import KINDS, OPTION_TYPES, QTY_UNITS, STATUSES

PORTS: Final = "9001-9002"
"""UDP ports of the groups; frames on others are known by their first bytes."""

TCP_PORTS: Final = "9021-9022"
"""TCP ports of replay and image where nobody chose others."""

FLAGS: Final = (
    "EVENT_END",
    "AUTH",
    "NO_EXCH_TS",
    "NO_SRC_SEQ",
    "SRC_GAP",
    "RESET",
    "CONFLATED",
    "REPLAY",
    "TEST",
    "CLOCK_BAD",
    "CROSSED",
    "SUSPECT",
)
"""Bits of the header's flags from bit 0 (docs/wire-format.md, "Flags")."""

_CHECKSUMS: Final = ("none", "ours, best 25 a side", "exchange-native", "ours, all")
_AGGRESSORS: Final = ("unknown", "buy", "sell")

NAMES: Final[dict[tuple[str, str], Sequence[str] | Mapping[int, str]]] = {
    ("HEADER", "venue"): VENUE_NAMES,
    ("HEARTBEAT", "state"): ("", "live", "standby", "draining"),
    ("SESSION_START", "reason"): ("", "cold", "restart", "fail-over", "reconfiguration"),
    ("STATUS", "scope"): ("", "channel", "venue", "instrument", "connection"),
    ("STATUS", "state"): STATUSES,
    ("STATUS", "reason"): {number: text for number, text in REASONS.items() if number < 256},
    ("BOOK_DELTA", "checksum_kind"): _CHECKSUMS,
    ("BOOK_SNAPSHOT", "checksum_kind"): _CHECKSUMS,
    ("ORDER_SNAPSHOT", "checksum_kind"): _CHECKSUMS,
    ("TRADE", "aggressor"): _AGGRESSORS,
    ("LIQUIDATION", "aggressor"): _AGGRESSORS,
    ("INSTRUMENT_DEF", "kind"): KINDS,
    ("INSTRUMENT_DEF", "status"): STATUSES,
    ("INSTRUMENT_DEF", "option_type"): ("none", *OPTION_TYPES[1:]),
    ("INSTRUMENT_DEF", "qty_unit"): QTY_UNITS,
    ("RETX_REPLY", "code"): RETX_CODES,
    ("ORDER_OPS", "op"): ORDER_OPERATIONS,
    ("ORDER_OPS", "side"): SIDES,
}
"""Names of numbers by message and field; an empty one is none. Where consumers have a table, it is that."""

_TRADE_BITS: Final = ("id is hash", "block", "liquidation", "auction", "correction", "cancel", "off-book")

BITS: Final[dict[tuple[str, str], Sequence[str]]] = {
    ("TRADE", "trade_flags"): _TRADE_BITS,
    ("LIQUIDATION", "trade_flags"): _TRADE_BITS,
    ("ORDER_OPS", "op_flags"): ORDER_FLAGS,
    ("ORDER_SNAPSHOT", "order_flags"): ORDER_FLAGS,
    ("CANDLE", "candle_flags"): ("closed", "built by us", "has gap"),
    ("INSTRUMENT_DEF", "book_proof"): ("venue sequence", "venue checksum"),
    ("SNAP_REQUEST", "kinds"): ("L2", "L3", "definition", "derivative state"),
}
"""Names of bits from bit 0; they stand behind the number."""

_KINDS: Final = {
    "u8": "uint8",
    "u16": "uint16",
    "u32": "uint32",
    "u64": "uint64",
    "i8": "int8",
    "i16": "int16",
    "i32": "int32",
    "i64": "int64",
    "f64": "double",
}
_SIZES: Final = {"u8": 1, "i8": 1, "u16": 2, "i16": 2, "u32": 4, "i32": 4, "u64": 8, "i64": 8, "f64": 8}
_TEXT: Final = re.compile(r"char\[(\d+)\]")
_HEX: Final = frozenset(
    {"magic", "crc32c", "book_checksum", "registry_crc", "chain64", "publisher_id", "cookie"}
)
_BYTES: Final = frozenset({"reserved", "signature"})
"""Fields of `char` that are no text."""


def dissector() -> str:
    """The Lua script. Its fields are `outcrier.FIELD` of the header, `outcrier.MESSAGE.FIELD` of a root and
    `outcrier.MESSAGE.record.FIELD` of a record, with the names of docs/wire-format.md.
    """
    code = files("outcrier").joinpath("dissector.lua").read_text(encoding="utf-8")
    head = f"-- Made by outcrier {__version__}: outcrier dissector. Do not edit.\n"
    return head + code.replace("-- @TABLES@\n", "".join(f"{line}\n" for line in _tables()))


def _tables() -> Iterator[str]:
    yield f'local PORTS, TCP_PORTS = "{PORTS}", "{TCP_PORTS}"'
    yield f"local FLAGS = {_lua(FLAGS)}"
    messages: dict[int, dict[str, Any]] = {}
    for message, number, part, fields in wire_layouts():
        rows = [_field(message, *field) for field in fields]
        size = max((row[2] + row[3] for row in rows), default=0)
        if part == "header":
            yield f"local HEADER = {_lua(rows)}"
            yield f"local HEADER_BYTES = {size}"
        else:
            messages.setdefault(number, {"name": message})[part] = {"fields": rows, "bytes": size}
    yield "local MESSAGES = {"
    for number, parts in sorted(messages.items()):
        yield f"  [{number}] = {_lua(parts)},"
    yield "}"
    names = {number: parts["name"] for number, parts in messages.items()}
    yield f"local MESSAGE_NAMES = {_lua(names)}"


def _field(message: str, name: str, form: str, offset: int) -> tuple[Any, ...]:
    """name, kind, offset, bytes, whether it is shown in hex, names of numbers, names of bits."""
    text = _TEXT.fullmatch(form)
    if text:
        return name, "bytes" if name in _BYTES else "string", offset, int(text[1]), False, False, False
    numbers = NAMES.get((message, name), ())
    if not isinstance(numbers, Mapping):
        numbers = {number: text for number, text in enumerate(numbers) if text}
    bits = BITS.get((message, name), ())
    return name, _KINDS[form], offset, _SIZES[form], name in _HEX, numbers or False, bits or False


def _lua(value: Any) -> str:
    """A value as a Lua expression."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"[{_lua(key)}] = {_lua(each)}" for key, each in value.items()) + "}"
    return "{" + ", ".join(map(_lua, value)) + "}"
