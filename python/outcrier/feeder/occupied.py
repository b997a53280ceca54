"""Listening before the first frame: no publisher may start on a channel that another one publishes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from outcrier import _core
from outcrier.clock import mono_ns
from outcrier.config import MulticastConfig
from outcrier.errors import NetworkError

LISTEN_NS: Final = 350_000_000
"""A publisher is heard at least every 100 ms; after 350 ms of silence it is dead (docs/wire-format.md)."""

_RCVBUF_BYTES: Final = 212_992
"""The kernel's usual buffer: one frame of each channel is enough."""


def refuse_if_occupied(multicast: MulticastConfig, channels: Iterable[int]) -> None:
    """Listens for `LISTEN_NS`. Raises NetworkError if another publisher has a session on one of `channels`.

    A session that ended is none, though its end is still repeated.
    """
    wanted = set(channels)
    receiver = _core.Receiver(accept_replay=True, accept_test=True)
    try:
        receiver.open(
            interface=multicast.interface,
            group=multicast.group_a,
            snapshot_group=multicast.group_snapshot,
            port=multicast.port,
            rcvbuf_bytes=_RCVBUF_BYTES,
        )
    except OSError as error:
        raise NetworkError(str(error)) from error
    try:
        end_ns = mono_ns() + LISTEN_NS
        while (left_ns := end_ns - mono_ns()) > 0:
            receiver.wait(left_ns)
            receiver.take()
            for heard in receiver.channels():
                if heard["channel"] in wanted and not heard["ended"]:
                    raise NetworkError(
                        f"channel {heard['channel']} on {multicast.group_a}:{multicast.port} is published"
                        f" by another process (session {heard['session']}): stop it or choose another port"
                    )
    finally:
        receiver.close()
