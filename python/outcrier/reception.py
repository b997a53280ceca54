"""A receiver as every consumer opens one: with its keys, chances of its own, and the groups of a family."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import msgspec

from outcrier._core import Monitor, Receiver
from outcrier.config import MulticastConfig
from outcrier.errors import ConfigurationError, NetworkError
from outcrier.key_file import read_key_file


class Address(msgspec.Struct, frozen=True):
    """Where is listened; an empty group is not."""

    feed: str
    interface: str
    group: str
    snapshot_group: str
    port: int
    interface_b: str = ""
    group_b: str = ""
    repair_group: str = ""
    text_group: str = ""
    sources: tuple[str, ...] = ()
    """Senders to hear; empty = all."""
    reuse_port: bool = False

    @classmethod
    def of(cls, feed: str, at: MulticastConfig) -> Address:
        """That of a family, as the configuration has it."""
        return cls(
            feed,
            at.interface,
            at.group_a,
            at.group_snapshot,
            at.port,
            interface_b=at.interface_b or at.interface,
            group_b=at.group_b,
            repair_group=at.group_repair,
            text_group=at.group_text,
            sources=at.sources,
            reuse_port=at.reuse_port,
        )


def read_keys(path: str | Path | None) -> str:
    """Text of the key file that the configuration names, if any. Raises ConfigurationError."""
    return read_key_file(Path(path)) if path else ""


def make_receiver(*, repair: bool, **options: Any) -> Receiver:
    """A receiver that asks for what it lost if `repair`; `options` as `Receiver` takes them. Raises
    ConfigurationError.
    """
    try:
        return Receiver(
            retransmit=repair,
            consumer_id=secrets.randbits(63) + 1,
            seed=secrets.randbits(64),
            **options,
        )
    except ValueError as error:
        raise ConfigurationError(str(error)) from None


def join(listener: Receiver | Monitor, address: Address, rcvbuf_bytes: int) -> None:
    """Joins the groups; text lines are for a monitor alone. Raises NetworkError, ConfigurationError."""
    groups = {name: value for name, value in msgspec.structs.asdict(address).items() if name != "feed"}
    if isinstance(listener, Receiver):
        del groups["text_group"]
    try:
        listener.open(rcvbuf_bytes=rcvbuf_bytes, **groups)
    except OSError as error:
        raise NetworkError(error.strerror or str(error)) from error
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
