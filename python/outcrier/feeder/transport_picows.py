"""WebSocket links by `picows`: the fast transport, for connections without proxy and compression."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import picows

from outcrier.feeder.transport import (
    CLOSE_ABNORMAL,
    CLOSE_GRACE_S,
    MESSAGE_BYTES_MAX,
    LinkListener,
    Reason,
    TransportError,
    classify,
    close_reason,
    status_error,
)

# picows tells every connection at INFO; the connection machine tells it in our words.
_log = logging.getLogger("outcrier.feeder.picows")
_log.setLevel(logging.WARNING)

_READ_BUFFER_BYTES: Final = 64 * 1024
"""First size of the read buffer: holds a busy second's burst of ordinary messages without growing."""

_CONTROL_BYTES_MAX: Final = 125
"""Payload of a control frame (RFC 6455 section 5.5); picows refuses longer ones."""

# Reading a member of the enumeration costs as much as everything else that is done for a message.
_PING: Final = picows.WSMsgType.PING
_PONG: Final = picows.WSMsgType.PONG
_CLOSE: Final = picows.WSMsgType.CLOSE
_CONTINUATION: Final = picows.WSMsgType.CONTINUATION


class _Link(picows.WSListener):
    """One connection: picows calls it for every frame, the feeder sends through it."""

    def __init__(self, listener: LinkListener) -> None:
        self._listener = listener
        self._on_frame = listener.on_frame
        self._plain = False
        """The next frame is of the read under way, and no message is in pieces, no close sent: if it is too
        long for a control frame, it is a message."""
        self._transport: picows.WSTransport | None = None
        # Pieces of a fragmented message; None = no message is under way.
        self._pieces: bytearray | None = None
        self._our_close: tuple[int, str] | None = None
        self._told_closed = False

    @property
    def is_connected(self) -> bool:
        """Whether the handshake ended well."""
        return self._transport is not None

    # What picows calls.

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self._transport = transport
        self._listener.on_open(self)

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        # The hot path, without a look at the kind of frame, which costs more than all of this: a data frame
        # that begins and ends here is a message, or the continuation of nothing, which is then read as one.
        if self._plain and frame.payload_size > _CONTROL_BYTES_MAX and frame.fin:
            self._plain = more = not frame.last_in_buffer
            self._on_frame(frame.get_payload_as_bytes(), more)
        else:
            self._on_any_frame(transport, frame)

    def _on_any_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        kind = frame.msg_type
        more = not frame.last_in_buffer
        message: bytes | None = None
        if transport.is_close_frame_sent and kind is not _CLOSE:
            # "An endpoint MUST NOT continue to attempt to process data (including a responding Close frame)
            # from the remote endpoint after being instructed to Fail the WebSocket Connection" (RFC 6455,
            # 7.1.7): behind the header of a frame that is too big, picows takes its payload for frames.
            pass
        elif kind is _PING:
            transport.send_pong(frame.get_payload_as_bytes())
        elif kind is _PONG:
            self._listener.on_pong()
        elif kind is _CLOSE:
            # The answer to a close frame echoes its code (RFC 6455 section 5.5.1).
            if not transport.is_close_frame_sent:
                transport.send_close(frame.get_close_code())
            transport.disconnect()
        elif frame.fin and kind is not _CONTINUATION:
            message = frame.get_payload_as_bytes()
        else:
            message = self._joined(transport, frame)
        self._plain = more and self._pieces is None and not transport.is_close_frame_sent
        if message is not None:
            self._on_frame(message, more)
        elif not more:
            self._listener.on_read_end()

    def _joined(self, transport: picows.WSTransport, frame: picows.WSFrame) -> bytes | None:
        """Keeps a piece of a message; returns the message with its last one."""
        if frame.msg_type is not _CONTINUATION:
            self._pieces = bytearray()
        if self._pieces is None:
            self._refuse(transport, picows.WSCloseCode.PROTOCOL_ERROR, "continuation of nothing")
        elif len(self._pieces) + frame.payload_size > MESSAGE_BYTES_MAX:
            self._refuse(transport, picows.WSCloseCode.MESSAGE_TOO_BIG, "message too big")
        else:
            self._pieces += frame.get_payload_as_memoryview()
            if frame.fin:
                whole, self._pieces = bytes(self._pieces), None
                return whole
        return None

    def _refuse(self, transport: picows.WSTransport, code: picows.WSCloseCode, reason: str) -> None:
        self._pieces = None
        self._our_close = (code.value, reason)
        transport.send_close(code, reason)
        transport.disconnect()

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        if self._told_closed:
            return
        self._told_closed = True
        handshake = transport.close_handshake
        if handshake is not None and handshake.recv is not None:
            self._listener.on_close(_number(handshake.recv.code), handshake.recv.reason or "")
        elif self._our_close is not None:
            self._listener.on_close(*self._our_close)
        elif handshake is not None and handshake.sent is not None:
            self._listener.on_close(_number(handshake.sent.code), handshake.sent.reason or "")
        else:
            self._listener.on_close(CLOSE_ABNORMAL, "connection lost")

    # What the feeder calls (`Link`).

    def send(self, text: str) -> None:
        transport = self._transport
        if transport is not None and not transport.is_disconnected:
            transport.send(picows.WSMsgType.TEXT, text.encode())

    def ping(self) -> None:
        transport = self._transport
        if transport is not None and not transport.is_disconnected:
            transport.send_ping(b"outcrier")

    def close(self, code: int, reason: str) -> None:
        transport = self._transport
        if transport is None or transport.is_disconnected:
            return
        self._our_close = (code, reason)
        self._plain = False
        transport.send_close(picows.WSCloseCode(code), close_reason(reason))
        asyncio.get_running_loop().call_later(CLOSE_GRACE_S, transport.disconnect)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.disconnect(graceful=False)


def _number(code: object) -> int:
    """A close code as a number: picows gives those outside its enumeration (3000-4999) as plain numbers."""
    value = getattr(code, "value", code)
    return value if isinstance(value, int) else CLOSE_ABNORMAL


async def connect(url: str, listener: LinkListener, deadline_s: float) -> None:
    """Opens `url`; see `transport.Connector`."""
    link = _Link(listener)
    try:
        async with asyncio.timeout(deadline_s):
            await picows.ws_connect(
                lambda: link,
                url,
                logger_name=_log,
                websocket_handshake_timeout=deadline_s,
                max_frame_size=MESSAGE_BYTES_MAX,
                max_redirects=0,
                read_buffer_init_size=_READ_BUFFER_BYTES,
                disconnect_on_exception=False,
                # Answered here: a ping that ends a read must not end it unseen.
                enable_auto_pong=False,
            )
    except picows.WSHandshakeError as error:
        response = error.response
        if response is None:
            raise TransportError(url, Reason.PROTOCOL, str(error)) from error
        raise status_error(url, int(response.status), response.headers.get("Retry-After")) from error
    except picows.WSError as error:
        raise TransportError(url, Reason.PROTOCOL, str(error)) from error
    except (OSError, ValueError, RuntimeError) as error:
        raise classify(url, error) from error
    if not link.is_connected:
        # picows returns as if all were well when the peer hangs up before its answer is whole.
        raise TransportError(url, Reason.PROTOCOL, "closed during the handshake")
