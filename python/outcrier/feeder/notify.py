"""What a service tells systemd: datagrams of `KEY=VALUE` lines to the socket that $NOTIFY_SOCKET names
(sd_notify(3)). Without that variable nothing is told.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Final

from outcrier.clock import mono_ns
from outcrier.errors import ConfigurationError

STATUS_BYTES_MAX: Final = 1_024
"""A line that `systemctl status` shows; longer ones are cut."""


class Notifier:
    """Never waits and never raises after its start: what systemd does not take is counted."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Raises ConfigurationError: the variable names no socket."""
        self.dropped = 0
        """Messages that did not leave."""
        self.watchdog_ns = _watchdog_ns(environ)
        """systemd kills a service of which it hears nothing for so long; 0 = it does not."""
        self._socket: socket.socket | None = None
        address = environ.get("NOTIFY_SOCKET", "")
        if not address:
            return
        if address[0] not in "/@":
            raise ConfigurationError(f"NOTIFY_SOCKET: {address!r} is neither a path nor an abstract name")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        # An abstract name begins with @ in the variable and with NUL for the kernel (unix(7)).
        self._address = "\0" + address[1:] if address[0] == "@" else address

    def close(self) -> None:
        """Tells nothing more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def ready(self) -> None:
        """The start, or the reload, is over."""
        self._tell("READY=1")

    def reloading(self) -> None:
        """The configuration is read again; `ready` ends it."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={mono_ns() // 1_000}")

    def stopping(self) -> None:
        """The end has begun."""
        self._tell("STOPPING=1")

    def alive(self) -> None:
        """The watchdog may wait anew."""
        self._tell("WATCHDOG=1")

    def extend(self, for_ns: int) -> None:
        """The start goes on and takes so much longer, whatever TimeoutStartSec= says."""
        self._tell(f"EXTEND_TIMEOUT_USEC={for_ns // 1_000}")

    def status(self, text: str) -> None:
        """One line for people."""
        line = " ".join(text.split()).encode(errors="replace")[:STATUS_BYTES_MAX]
        self._tell(f"STATUS={line.decode(errors='ignore')}")

    def _tell(self, message: str) -> None:
        if self._socket is None:
            return
        try:
            self._socket.sendto(message.encode(), self._address)
        except OSError:
            self.dropped += 1


def _watchdog_ns(environ: Mapping[str, str]) -> int:
    """The time of WatchdogSec=, unless it is meant for another process (sd_watchdog_enabled(3))."""
    pid, microseconds = environ.get("WATCHDOG_PID", ""), environ.get("WATCHDOG_USEC", "")
    if (pid and pid != str(os.getpid())) or not microseconds.isdecimal():
        return 0
    return int(microseconds) * 1_000
