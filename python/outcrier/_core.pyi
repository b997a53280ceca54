"""Native core of Outcrier. Times are nanoseconds; prices and quantities are integer mantissas."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Self, final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "FOR_PYTHON",
    "HANDLED",
    "NOTICES",
    "STATES",
    "Decoder",
    "Feed",
    "Inference",
    "LogReader",
    "LogWriter",
    "Market",
    "MirroredOrders",
    "Monitor",
    "OrderBook",
    "Publisher",
    "Receiver",
    "Relay",
    "__version__",
    "decode_frame",
    "health_probe",
    "layouts",
    "log_survey",
    "mono_ns",
    "parse_decimal",
    "system_clock",
    "wall_ns",
    "wire_layouts",
]

__version__: str

HANDLED: int
FOR_PYTHON: int
NOTICES: int
STATES: tuple[str, ...]
"""States of an instrument by the number in `events.state`: LIVE, UNSURE, RECOVERING, STALE, CLOSED,
UNKNOWN."""

def mono_ns() -> int:
    """CLOCK_MONOTONIC in nanoseconds."""

def wall_ns() -> int:
    """UTC nanoseconds since the epoch."""

def system_clock() -> dict[str, Any]:
    """How the system keeps its wall clock: synchronised, offset_ns (correction under way), error_ns (None:
    not known)."""

def parse_decimal(text: str, exp: int) -> int:
    """Mantissa of `text` at 10**exp. Raises ValueError: junk, overflow, or more digits than `exp` holds."""

def decode_frame(data: bytes) -> dict[str, Any]:
    """Checks and decodes one wire frame (padding allowed) into plain values: the header's fields by name, and
    `msg`, `root`, `records`, `messages`. Of a PACK the records are its sub-headers, the messages what each of
    them would have been alone, in the same form. Raises ValueError with the refusal."""

def health_probe(
    *,
    channel: int,
    session: int,
    venue: int,
    correlation: int,
    consumer_id: int,
    cookie: int = 0,
    keys: str = "",
) -> bytes:
    """RETX_REQUEST without ranges, which asks a retransmit server whether it is there, padded so that an
    answer can come. `keys`: the text of a key file, to sign it. Raises ValueError for what is no key."""

def wire_layouts() -> list[tuple[str, int, str, list[tuple[str, str, int]]]]:
    """Message name, type number, part (header, root, record) and fields (name, format, offset) of every
    struct of the wire."""

def layouts() -> dict[str, tuple[int, list[tuple[str, str, int]]]]:
    """Item size and fields (name, NumPy format, offset) of each row array that `Receiver.take` hands out; an
    `OrderBook` has `ops` and `orders`.
    """

def log_survey(path: str | Path) -> dict[str, Any]:
    """What a log holds, every record checked: `sound` (nothing damaged, no number missing without a mark),
    `quarantined` paths, `segments` (path, state whole, torn or damaged, torn_bytes, damage_offset, bytes,
    frames, created_ns, last_ns) and `sessions` of channels (channel, session, first, last, frames, bytes,
    first_ns, last_ns, ended, holes as (first, last) up to 1,000, hole_count, missing_marked,
    missing_unmarked). Raises OSError, which names the file."""

@final
class LogReader:
    """The frames of a log, oldest first: (channel, session, number, UTC ns, frame). Of an un-numbered frame
    the number is that of the next one. May be used beside the log's writer; changes nothing. A damaged
    segment is left out whole."""

    def __new__(cls, path: str | Path) -> Self:
        """Raises OSError, which names the directory."""
    def __iter__(self) -> Self: ...
    def __next__(self) -> tuple[int, int, int, int, bytes]: ...
    def take_holes(self) -> list[tuple[int, int, int, int, int]]:
        """Holes met since the last call, which stand before the frame given last: (channel, session, first,
        last, UTC ns)."""
    def refused(self) -> list[tuple[Path, int]]:
        """Damaged segments met so far: path, offset of the damage."""

@final
class LogWriter:
    """Frames and holes from elsewhere into a log that is not live. Waits for the disk, drops nothing."""

    def __new__(cls, path: str | Path, *, segment_bytes: int = 67108864) -> Self:
        """Raises OSError, which names the directory, and ValueError for a length that cannot be."""
    @staticmethod
    def refusal(datagram: bytes, /) -> str | None:
        """Why a datagram is no frame for a log: it fails a check, or it is of the snapshot plane or a
        heartbeat without a signature. None: it is one."""
    def frame(self, wall_ns: int, datagram: bytes, /) -> None:
        """Adds a frame; padding behind it is left out. Raises ValueError with the refusal if it is none."""
    def hole(self, wall_ns: int, channel: int, session: int, first: int, last: int) -> None: ...
    def close(self) -> int:
        """Writes what waits and ends the segment; frames added."""

@final
class Decoder:
    """The declared shapes of one venue without feed, books or wire: frames in, events out. Not thread-safe.

    Prices and quantities are mantissas at the exponents of the instrument; tickers, candles and states of
    derivatives carry exponents of their own (`exps`). What was not given is None.
    """

    HANDLED: int
    """A shape took the frame; its events are `events()`, there may be none."""
    NOT_MINE: int
    """No shape takes it: a control message, or one for Python."""
    UNKNOWN_INSTRUMENT: int
    """A shape takes it, none of its instruments was added; `reason` is the text in the frame."""
    NEEDS_FINER: int
    """A price or quantity has more digits than the exponents hold: `set_scale(*finer)` and decode again."""
    FAULT: int
    """It cannot be read; `reason` says why."""

    def __new__(cls, shapes: str) -> Self:
        """`shapes` is the text of `outcrier.shape_json.to_json`. Raises ValueError, which names shape and
        field."""
    def add(self, native_symbol: str, price_exp: int, qty_exp: int) -> int:
        """Index of a new instrument, named as the venue's frames do; exponents within -30 to 30. With
        exponents that are too coarse, its frames ask for finer ones.

        Raises ValueError if the symbol was added before.
        """
    def bind(self, connection: int, number: int, index: int, channel: str = "") -> None:
        """Binds a number that the venue chose on a connection (Bitfinex `chanId`) to an instrument and, where
        the shapes name channels (`outcrier.shapes.Bound`), to one of them. Raises IndexError for an
        instrument that was not added."""
    def scale(self, index: int) -> tuple[int, int]:
        """Exponents of price and quantity."""
    def set_scale(self, index: int, price_exp: int, qty_exp: int) -> None: ...
    def decode(self, connection: int, frame: bytes, /) -> int:
        """Decodes one frame of a connection and gives the outcome: HANDLED, NOT_MINE, UNKNOWN_INSTRUMENT,
        NEEDS_FINER or FAULT. Nothing that a venue sends raises. No Python object is made of the events."""
    def decode_snapshot(self, index: int, body: bytes, /) -> int:
        """The same for the answer to a request about an instrument, by the shapes declared with `rest`."""
    def decode_all(self, connection: int, frames: list[bytes]) -> tuple[int, int, int]:
        """Decodes frames one after the other; how many were HANDLED, and their levels and trades."""
    @property
    def reason(self) -> str:
        """Why the last frame gave no events; empty if it was HANDLED."""
    @property
    def finer(self) -> tuple[int, int, int] | None:
        """Instrument, price_exp, qty_exp that the last frame needs; None unless it was NEEDS_FINER."""
    @property
    def shape(self) -> str | None:
        """Name of the shape that took the last frame; None unless it was HANDLED."""
    @property
    def connection_seq(self) -> int | None:
        """Number of the last frame on its connection, where the venue numbers all of them."""
    def drift(self) -> dict[str, int]:
        """Schema drift by name, as of `Feed.drift`."""
    def events(self) -> list[dict[str, Any]]:
        """Events of the last frame. Each has `type`, `instrument`, `exchange_ts` (ns), `ids` (first, last,
        prev), `exps` (price, quantity), and by type:

        book: `snapshot`, `bids` and `asks` as (price, qty), `bid_extras` and `ask_extras` as (id, sequence,
        decimals of price, of quantity) where the shape declares them, `checksum`. trades, liquidations:
        `trades` with price, qty, id, ts (ns), aggressor (0 unknown, 1 buy, 2 sell), flags, n_fills, id_span.
        bbo: `bid` and `ask` as (price, qty, orders). ticker: last, open, high, low, volume, turnover,
        trade_count, window_ns. candle: open_ts (ns), interval_s, flags, `prices` (open, high, low, close),
        volume, turnover, trade_count. deriv: mark, index, settle, funding_rate and next_rate (10**-12),
        next_funding (ns), funding_interval_s, open_interest, oi_value.
        """

@final
class Publisher:
    """Where frames go: UDP multicast, or a list in memory for tests and benchmarks."""

    @staticmethod
    def udp(
        *,
        interface: str,
        group: str,
        snapshot_group: str,
        port: int,
        ttl: int,
        interface_b: str = "",
        group_b: str = "",
        text_group: str = "",
        repair_group: str = "",
        keys: str = "",
        retransmit: bool = False,
        retransmit_port: int = 0,
        replay_port: int = 0,
        line_bytes_per_s: int = 125_000_000,
        log_dir: str = "",
        log_segment_bytes: int = 67_108_864,
        log_retain_bytes: int = 0,
        log_retain_age_s: int = 0,
        log_sync_ms: int = 50,
        manifest_key: str = "",
        reuse_port: bool = False,
    ) -> Publisher:
        """Opens a socket for line A with the snapshot plane, and one each for line B, the text lines and the
        repair group where a group is given; empty = none, and `interface_b` empty = `interface`. `keys` is
        the text of a key file: frames are signed with its first key.

        Listens on line A from now on, sharing the port by SO_REUSEPORT alone with `reuse_port`: once another
        publisher is heard that makes a session of ours worthless, nothing more of that session leaves, see
        `superseded`.

        `retransmit`: what leaves is kept and sent again by two threads, to whoever asks at these ports of
        `interface` (0 or taken = any free one; heartbeats tell them); answers take 5 % of the line. With
        `log_dir` every frame is logged, in segments that are removed by size and age (0 = never), and waits
        at most `log_sync_ms` for the disk; `manifest_key`, 64 hex digits, signs it once a second.

        Raises OSError, with a message that names group, interface and port, or the log; ValueError for keys.
        """
    @staticmethod
    def memory(
        *,
        keys: str = "",
        retransmit: bool = False,
        log_dir: str = "",
        manifest_key: str = "",
        bytes_max: int = 0,
    ) -> Publisher:
        """`retransmit` serves what was kept on free ports of 127.0.0.1; nothing is ever removed from the
        log. Where `bytes_max` is not 0, what waits for `take` is forgotten when it is longer."""
    def change_keys(self, keys: str) -> None:
        """Takes other keys (the text of a key file) for requests and other publishers at once; a feed signs
        with the first one from its next `change_key`, or from its start. Raises ValueError for what is no
        key, and for a publisher that does not sign."""
    def wakeup_fileno(self) -> int:
        """Readable when a consumer asked something of the feeds: call `tick` of every one of them. -1 without
        `retransmit`."""
    def retransmit_ports(self) -> tuple[int, int]:
        """Ports of the server, UDP and TCP; 0 = none."""
    def log_error(self) -> str | None:
        """What the system said last when the log could not be written."""
    def take(self) -> list[tuple[int, bytes]]:
        """Datagrams kept by a memory publisher, as they would leave: plane (0 incremental, 1 snapshot), and a
        frame with the zeros that a longer one of its batch puts behind it.
        """
    def take_texts(self) -> list[bytes]:
        """Text lines kept by a memory publisher: the last 4,096."""
    def send_text(self, line: bytes) -> bool:
        """Sends a text line as one datagram; False where there is no group for them."""
    def listen(self, channels: Sequence[int], for_ns: int) -> list[dict[str, Any]]:
        """Listens for so long, without the GIL, and returns other publishers' sessions heard on `channels`:
        channel, session, last_seq (of its last frame; final if it ended), publisher_id (0 = not told), drill
        (REPLAY or TEST), ended. A memory publisher hears nothing. Raises OSError."""
    def superseded(self) -> list[tuple[int, int, int, str]]:
        """Our sessions that send nothing more because of another publisher: channel, session, session heard,
        why in words. It is looked at least every 50 ms while frames leave, and before the first one after a
        longer pause."""
    def counters(self) -> dict[str, int]:
        """frames and their bytes, sends (system calls that took them), padding_bytes, segment_refused (those
        batches left frame by frame because the kernel did not cut them); frames that were not sent:
        dropped_would_block, oversize, errors. These are of line A and the snapshot plane; the same with the
        prefix line_b_, text_ or repair_ where there is such a group.

        silenced: frames dropped since another publisher took over. guard_errors: times the system refused to
        tell what was heard; guard_unauthentic: frames heard without the MAC that our keys ask for. store_*,
        retransmit_* (by UDP) and replay_* (by TCP) with `retransmit`; log_* with a log, of which log_dropped
        are frames that it does not have and log_failing is 1 while the disk refuses.
        """
    def last_error(self) -> str | None:
        """What the system said of the last refused send on line A or the snapshot plane."""
    def last_error_b(self) -> str | None:
        """The same of line B."""

@final
class Feed:
    """One channel: frames of one venue in, numbered multicast frames out. Not thread-safe.

    Frames leave before the call that made them returns; `on_frame` alone may keep them, until the next call
    of any method or until the feed is deleted.
    """

    def __new__(
        cls,
        publisher: Publisher,
        *,
        venue: int,
        channel: int,
        session: int,
        publisher_id: int,
        shapes: str,
        build: str,
        prev_session: int = 0,
        prev_last_seq: int = 0,
        reason: int = 1,
        instruments: Sequence[int] = (),
        replay: bool = False,
        test: bool = False,
        pack: bool = False,
        start_ns: int = 0,
        history_bytes_max: int = 0,
        infer_orders: bool = False,
    ) -> Self:
        """Sends SESSION_START. `shapes` is the text of `outcrier.shape_json.to_json`.

        Raises ValueError on a shape that cannot be compiled or published, OSError if it cannot be heard who
        else publishes.

        `prev_last_seq` is the number that `prev_session` ended with, 0 = unknown; `instruments` are the ids
        that will be added at once, as its digest tells them. `pack`: messages of one socket read share PACK
        frames. `start_ns` is the wall time of a replay's first message; 0 = now.
        `history_bytes_max`: bytes for `history`, 0 = none are kept. `infer_orders`: the orders of each book
        are inferred from levels and trades, and published.
        """
    def add_instrument(
        self,
        *,
        instrument: int,
        native_symbol: str,
        symbol: str,
        kind: int,
        price_exp: int,
        qty_exp: int,
        tick_size: int,
        lot_size: int,
        min_qty: int,
        contract_size: int,
        contract_exp: int,
        qty_unit: int,
        book_proof: int,
        base: str,
        quote: str,
        settle: str,
        status: int = 3,
        expiry_ts: int = 0,
        strike: int = 0,
        option_type: int = 0,
        underlying: int = 0,
        has_book: bool = True,
        recv_ns: int = 0,
    ) -> int:
        """Publishes INSTRUMENT_DEF and returns the dense index used by every other call.

        `status` is the trading status (STATUS.state: 1 trading, 4 halted, 5 closed, 6 pre-open, 9 delisted
        ...). While the book
        is not yet whole the wire says 3 (recovering) instead. Mantissas: tick_size, strike at price_exp;
        lot_size, min_qty at qty_exp.
        One that was removed before goes on from its numbers. Raises ValueError if id or native symbol is
        taken.
        """
    def set_trading_status(self, index: int, status: int, recv_ns: int = 0) -> None:
        """Publishes the venue's status of trading; held back while the book is not live."""
    def update_sizes(
        self,
        index: int,
        *,
        price_exp: int,
        qty_exp: int,
        tick_size: int,
        lot_size: int,
        min_qty: int,
        recv_ns: int = 0,
    ) -> None:
        """New sizes from the venue's list, at exponents of their own; a change is published as a new
        definition version."""
    def on_frame(
        self,
        connection: int,
        data: bytes | bytearray | memoryview,
        recv_ns: int = 0,
        more: bool = False,
    ) -> int:
        """Takes one frame of the exchange. `recv_ns` 0 = now (live); otherwise the recorded wall time.

        `more`: further frames of the same socket read follow, so what this one makes may wait for them (until
        the next call of any method, or until no more fit into one system call). Arrival is stamped once per
        read, at its first frame.

        Returns HANDLED (0) or the bits FOR_PYTHON (no shape takes it: control or unknown), NOTICES (call
        `notices()`).
        """
    def on_snapshot(self, index: int, body: bytes, recv_ns: int = 0) -> int:
        """Takes the REST answer with an instrument's book. Same return; a snapshot older than the held diffs
        gives the notice SNAPSHOT_OLD."""
    def want_orders(self, index: int) -> bool:
        """From now on the orders of an instrument are those that messages tell (`OrdersShape`). False: no
        shape is about orders, or the instrument has no book."""
    def on_orders_snapshot(self, index: int, body: bytes, recv_ns: int = 0) -> int:
        """Takes the REST answer with all orders of an instrument. Same return; one older than the held events
        gives the notice ORDERS_SNAPSHOT_OLD."""
    def connected(self, indices: Sequence[int], recv_ns: int = 0, connection: int = 0) -> None:
        """The streams of these instruments are subscribed, on `connection` (0 = not told): those without a
        book are live by that, STATUS(live). On the new connection of an overlap it says that what changes
        from now on comes there too: an instrument without a book has switched, and a numbered book outlives
        the old connection even if it was quiet since."""
    def disconnected(self, indices: Sequence[int], recv_ns: int = 0, connection: int = 0) -> None:
        """The connection that carried these books is gone: STATUS(stale, disconnect), diffs forgotten.

        With `connection`, instruments that live by its partner in an overlap stay as they are; all do if the
        overlap was ended with it as the old one, whose number is free again. An instrument that is not live
        and is to be carried by the partner alone gets NEED_SNAPSHOT anew.
        """
    def overlap(self, old: int, new: int, indices: Sequence[int]) -> None:
        """A planned change of socket begins: the connections `old` and `new` carry the same streams of these
        instruments. Nothing leaves by this call, and what comes twice leaves once.

        Books that the venue numbers per instrument (range, chain, plus_one) take events of both, the first
        to come wins; events that are ahead wait up to 5 s for the other connection. Other books are carried
        by `old` until the first whole book of `new`. Trades come from both, each once; best prices, tickers,
        candles and states of derivatives from `old` until the instrument has switched and `new` has sent the
        kind. The notice SWITCHED (expected = old, got = new) tells once that `new` carries an instrument:
        its book continued or repeated ours, or was whole; where no book comes by this pair, that it sent
        anything or is `connected`.

        Raises ValueError if one of the two takes part in another overlap of one of the instruments, or for
        numbers that are equal or 0; IndexError for an index that was never given.
        """
    def end_overlap(self, old: int, new: int, recv_ns: int = 0) -> None:
        """`new` has taken over: what still comes on `old` is dropped and counted (`after_overlap`) until
        `disconnected(.., connection=old)` or another overlap names it. A numbered book goes on even if it was
        quiet on `new`; another one that did not switch is STATUS(stale, disconnect)."""
    def remove_instrument(self, index: int, recv_ns: int = 0) -> None:
        """Takes an instrument from the wire: STATUS(delisted, removed) is its last frame, digest and cycle
        leave it out, others go on untouched. Frames and answers that still come for it are counted
        (`after_removal`). Its index is free, and goes to another instrument after 1,024 more removals; its
        stable id may be added again, with the next `def_version`. Raises IndexError."""
    def resync(self, index: int, reason: int, recv_ns: int = 0) -> bool:
        """Gives a live book up on the owner's word: STATUS(stale) with `reason` (STATUS.reason), then
        NEED_SNAPSHOT and the usual way back. False: it has no book or is not live, nothing happened. Raises
        IndexError."""
    def restart_connection(self, connection: int) -> None:
        """Another link will stand under this number: where the venue numbers all frames of a connection, they
        begin anew. Without it the first one is taken for a hole."""
    def publish_connection(
        self,
        *,
        conn_id: int,
        connected: int,
        disconnected: int,
        reconnects: int,
        messages: int,
        bytes: int,  # noqa: A002 - the field of the wire
        subscriptions: int,
        silence_ms: int,
        expected_ms: int,
    ) -> None:
        """CONN message (0x05); conn_id 0 = the whole venue."""
    def publish_status(
        self, *, scope: int, state: int, reason: int, conn_id: int = 0, text: str = ""
    ) -> None:
        """STATUS of scope 1 channel, 2 venue or 4 connection, for monitors."""
    def tick(self) -> int:
        """Heartbeats, snapshot cycle, time limits of held diffs. Returns the monotonic ns at which to call
        again."""
    def change_key(self) -> None:
        """Signs with the publisher's first key from the next frame on."""
    def deadline_ns(self) -> int:
        """Monotonic ns of the next thing to do; moves earlier when frames are sent."""
    def close(self, reason: int = 0, next_session: int = 0) -> None:
        """Sends SESSION_END; `tick` repeats it every 100 ms for 5 s if the caller goes on calling it.
        `next_session` is the one that follows at once; 0 = unknown."""
    def last_seq(self) -> int:
        """Number of the last frame sent on the incremental plane."""
    def kinds(self) -> dict[str, tuple[int, int, int, int]]:
        """Events received and published, frames refused, gaps, by kind of message: book, trade, bbo, ticker,
        candle, deriv (with liquidations)."""
    def activity(self) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """Messages so far, and the monotonic time of the last one in nanoseconds (0 = none), each of shape
        (indices, 7): book, trade, bbo, ticker, candle, deriv (with liquidations), orders. Bounds of the time
        are those of a read."""
    def books_not_live(self) -> int:
        """Books that are recovering or stale."""
    def notices(self) -> list[tuple[str, int, int, int, str]]:
        """(kind, index or -1, expected, got, text) since the last call; at most 4,096 are kept, more are
        counted.

        kind: GAP (without an index: on the whole connection that the text names), FAULT, NEED_SNAPSHOT (fetch
        the REST book, or subscribe anew where the stream sends it), SNAPSHOT_OLD (fetch again), LIVE, STALE,
        REFINED, TRADING (a message told another trading status: from expected to got), UNKNOWN_INSTRUMENT,
        HELD_OVERFLOW; the same of orders: ORDERS_NEED_SNAPSHOT, ORDERS_SNAPSHOT_OLD, ORDERS_LIVE,
        ORDERS_STALE, ORDERS_HELD_OVERFLOW; SWITCHED (see `overlap`), SESSION_FULL (frame numbers run out:
        begin a new session).
        """
    def faults(self) -> list[tuple[str, int, int, bytes]]:
        """The last 64 faults: (reason, recv_ns, connection, frame cut to 4,096 bytes)."""
    def counters(self) -> dict[str, int]: ...
    def quality(self, index: int) -> dict[str, int]:
        """Events of an instrument that were marked, by cause: exchange_time_back, exchange_time_off,
        price_outliers, volume_spikes, crossed, locked. `counters` has the sums over all instruments under the
        same names. The rules stand in docs/architecture.md, "What is odd"."""
    def clock(self) -> dict[str, Any]:
        """The venue's clock beside ours, by the quickest message of each of the last 64 windows of 10 s:
        `offset_ns`, the least receive time less exchange time (ours is before the venue's by at most this;
        None = no times yet), `drift_ppm`, how fast our clock gains on the venue's (None = fewer than 4
        windows), `windows`, and `comparable`: False in replays and tests, where the offset counts from the
        quickest of the first 64 messages."""
    def history(self, index: int, last: int = 10_000) -> list[tuple[int, int, bytes]]:
        """The last messages about an instrument as they came, at most 10,000, the oldest first: (recv_ns,
        connection, message); connection 0 = the answer to a request. A message about several instruments is
        under the first of them. All are kept within `history_bytes_max`, with 24 bytes each; the oldest leave
        first, counted as `history_dropped`."""
    def latency(self) -> dict[str, Any]:
        """From the read of an exchange's socket until the frames it made had left, by message that made any:
        `count`, `sum_ns`, `cumulative` as (bound in ns, messages below it) for the powers of two from 1,024
        to 2^30, and fine `buckets` as (lower bound, upper bound not included, count), those that are not
        empty. Messages that leave together share one look at the clock."""
    def drift(self) -> dict[str, int]:
        """Schema drift by name, with how often each was seen in the frames that were looked at: the first 64
        of a shape, those of a new form, and one of 1,024. `shape.key` stands in frames and in no declaration,
        `shape.-key` is read, was always there and is gone. At most 256 names, the rest is "other". Messages
        that no shape takes are Python's to name."""
    def state(self, index: int) -> str:
        """RECOVERING, LIVE or STALE: the publisher's state of the book."""
    def instr_seq(self, index: int) -> int: ...
    def book(self, index: int, depth: int = 0) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """(bids, asks) as (price, qty) mantissas, best first; depth 0 = all."""
    def orders(self, index: int) -> list[tuple[int, int, int, int, int, int]] | None:
        """(side, number, price, qty, priority, time) of every order: bids, then asks, best level first, each
        from the front of its queue. None while they are not known."""
    def book_hash(self, index: int) -> int: ...
    def scale(self, index: int) -> tuple[int, int]:
        """(price_exp, qty_exp) in force."""
    def source_seq(self, index: int) -> int: ...
    def def_version(self, index: int) -> int: ...

@final
class Receiver:
    """Consumer side: checks frames, follows instruments, mirrors books, collects batches.

    Sans-I/O through `datagram` and `timer`; `open` attaches UDP sockets that `poll` and `wait` drain.
    """

    def __new__(
        cls,
        *,
        symbols: Sequence[str] | None = None,
        types: Sequence[int] | None = None,
        accept_replay: bool = False,
        accept_test: bool = False,
        rows_max: int = 1_000_000,
        keys: str = "",
        manifest_key: str = "",
        retransmit: bool = False,
        consumer_id: int = 0,
        seed: int = 0,
    ) -> Self:
        """`symbols`: canonical `SYMBOL@venue` (venue number as text after @, e.g. "BTC/USDT@1"); None = all.
        `types`: message types kept in
        batches (books are kept whatever is asked); None = all. Rows beyond `rows_max` not taken are counted
        and lost oldest first.

        `keys`: the text of a key file (`outcrier.key_file`), a line `[key_id:] 64 hex digits` for each of at
        most two keys; frames without a MAC of theirs are dropped and counted. Empty = none. `manifest_key`:
        64 hex digits, the publisher's Ed25519 key; signed manifests are checked and counted. Empty = none.
        Raises ValueError on anything else; the text shows no part of a key.

        `retransmit`: ask the publisher's server for what was lost, and for an image when joining late;
        `consumer_id` (random, not 0) is what the server knows us by, `seed` spreads the requests in time."""
    def open(
        self,
        *,
        interface: str,
        group: str,
        snapshot_group: str,
        port: int,
        rcvbuf_bytes: int,
        interface_b: str = "",
        group_b: str = "",
        repair_group: str = "",
        sources: Sequence[str] = (),
        reuse_port: bool = False,
    ) -> None:
        """Joins the groups; an empty `interface_b` is `interface`, an empty `group_b` or `repair_group` is
        none. `sources`: hear only these senders, empty = all. `reuse_port`: share the port by SO_REUSEPORT
        alone. Raises OSError that names group, interface and port."""
    def close(self) -> None: ...
    def filenos(self) -> list[int]: ...
    def effective_rcvbuf(self) -> int:
        """Receive buffer in effect, bytes as the kernel accounts them; 0 without sockets."""
    def poll(self) -> int:
        """Drains the sockets without blocking (bounded per call) and without the GIL, runs due timers;
        returns rows collected and not yet taken."""
    def wait(self, timeout_ns: int) -> int:
        """As `poll`, but sleeps (without the GIL) until something arrives or the time is over."""
    def datagram(self, plane: int, data: bytes, rx_ns: int, now_ns: int) -> None:
        """One datagram by hand: 0 line A, 1 snapshot plane, 2 line B, 3 repair group, 4 retransmit server, 5
        image."""
    def timer(self, now_ns: int) -> None: ...
    def deadline_ns(self) -> int:
        """Monotonic ns of the next timer; 0 = none."""
    def take(self) -> dict[str, NDArray[np.uint8]]:
        """The rows collected, as byte arrays to view with the dtypes of `layouts()`: events, levels, trades,
        ops, orders, bbos, tickers, candles, derivs, defs, statuses, conns. The arrays take the collector's
        memory over, nothing is copied."""
    def instruments(self) -> list[dict[str, Any]]:
        """Every definition heard: venue, instrument, channel, symbol, native_symbol, kind, status,
        price_exp, qty_exp, tick_size, lot_size, min_qty,
        contract_size, contract_exp, qty_unit, book_proof, base, quote, settle, expiry_ts, strike,
        option_type, def_version, wanted, state."""
    def find(self, symbol: str) -> tuple[int, int] | None:
        """(venue, instrument) of `SYMBOL@venue-number`, once its definition was heard."""
    def whole_cycles(self) -> dict[int, bool]:
        """Per channel heard: was one whole snapshot cycle (CYCLE_END, nothing missing) received?"""
    def state(self, venue: int, instrument: int) -> str:
        """UNKNOWN, LIVE, UNSURE, RECOVERING, STALE or CLOSED: the worse of reception and publisher."""
    def book(
        self, venue: int, instrument: int, depth: int = 0
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(bids, asks), each of shape (levels, 2): price and qty mantissa, best first; depth 0 = all."""
    def orders(self, symbol: str) -> MirroredOrders:
        """The orders of an instrument by the symbol of `find`; none before it is heard."""
    def top(
        self, venue: int, instrument: int, depth: int
    ) -> tuple[int, int, list[tuple[int, int]], list[tuple[int, int]]]:
        """(price_exp, qty_exp, bids, asks), each a list of (price, qty) mantissas, best first; depth 0 = all.
        For a few levels cheaper than the arrays of `book`."""
    def best(
        self, venue: int, instrument: int
    ) -> tuple[int, int, tuple[int, int] | None, tuple[int, int] | None]:
        """(price_exp, qty_exp, bid, ask), each (price, qty) mantissas or None where the side is empty."""
    def last_event(self, venue: int, instrument: int) -> tuple[int, int, int, int]:
        """(instr_seq, source_seq, exchange_ts, recv_ts) of the book's last event."""
    def book_info(self, venue: int, instrument: int) -> dict[str, Any]:
        """state, reason, trading, price_exp, qty_exp, instr_seq, source_seq, exchange_ts, recv_ts, bids,
        asks (counts), crossed, locked, hash, flags, book_proof (bits; None before the definition)."""
    def gaps(self) -> list[dict[str, Any]]:
        """What was missing and is whole again since the last call: channel, venue, session, plane, first,
        count, opened_ts, cause, repair, after_ns, instrument, expected, got (`outcrier.gaps`)."""
    def open_gaps(self) -> list[dict[str, Any]]:
        """What is missing now; `after_ns` is so far."""
    def counters(self) -> dict[str, int]: ...
    def channels(self) -> list[dict[str, Any]]:
        """Per channel: channel, venue, session, state, high (channel_seq), frames, bytes, gaps, given_up,
        duplicates, publisher_id, test, replay,
        chain_ok, window_ns, ended, split, whole_cycle."""

@final
class Relay:
    """Relays multicast lines to another port or interface, through a bad network that a seed repeats.

    Probabilities are in parts per million, `PPM` is certainty.
    """

    PPM: Final[int]

    def __new__(
        cls,
        *,
        seed: int,
        rcvbuf_bytes: int,
        loss: int = 0,
        burst: tuple[int, int] | None = None,
        reorder: int = 0,
        reorder_ns: int = 0,
        duplicate: int = 0,
        corrupt: int = 0,
        truncate: int = 0,
        garbage: int = 0,
        delay_ns: int = 0,
        jitter_ns: int = 0,
    ) -> Self:
        """`burst`: how many in a row are lost, of how many. `reorder_ns`: longest time that one is held back.
        `jitter_ns`: longest delay beside `delay_ns`. Raises ValueError for what cannot be."""
    def add_line(
        self,
        name: str,
        *,
        number: int,
        group: str,
        interface: str,
        port: int,
        to_group: str,
        to_interface: str,
        to_port: int,
        ttl: int,
        spared: bool,
        sources: Sequence[str] = (),
        reuse_port: bool = False,
    ) -> None:
        """Opens the sockets of a line. Lines of different `number` have fates of their own; nothing
        happens to one that is `spared`. Raises OSError that names group, interface and port, and
        ValueError."""
    def run(self, timeout_ns: int) -> None:
        """Relays for so long without the GIL; returns early when a signal comes. Raises OSError."""
    def counts(self) -> list[tuple[str, dict[str, int]]]:
        """Name of each line and its counts: seen, passed, lost, burst_lost, duplicated, reordered, corrupted,
        truncated, garbage, sent, queue_full, refused, kernel_drops."""
    def waiting(self) -> int:
        """Datagrams that are not due yet."""
    def effective_rcvbuf(self) -> int:
        """Least receive buffer in effect, bytes as the kernel accounts them; 0 without lines."""

@final
class OrderBook:
    """The orders of one instrument in price-time priority: `outcrier.orders.OrderBook` without its types.

    Sides are 1 (bid) and 2 (ask); prices and quantities mantissas; other sides raise ValueError.
    """

    def __init__(self, tick: int = 1) -> None:
        """`tick`: least distance of prices; 0 = unknown. Raises ValueError below 0."""
    def apply(self, ops: NDArray[np.uint8], ts: NDArray[np.int64]) -> list[tuple[int, str]]:
        """Makes changes (`ops` as bytes) at their times; index and reason of those that do not fit,
        each of which changed nothing. Raises ValueError where the lengths differ.
        """
    def clear(self) -> None:
        """Removes all orders."""
    def __len__(self) -> int:
        """Orders."""
    def get(self, order_id: int) -> tuple[int, int, int, int] | None:
        """Side, price, quantity and time of an order."""
    def best(self, side: int) -> tuple[int, int] | None:
        """Price and quantity of the best level."""
    def level(self, side: int, price: int) -> tuple[int, int]:
        """Quantity and orders of a level, zeros for none."""
    def levels(self, side: int, depth: int = 0) -> NDArray[np.int64]:
        """Shape (levels, 3): price, quantity, orders, best first; `depth` 0 = all."""
    def queue(self, side: int, price: int) -> NDArray[np.uint8]:
        """The orders of a level, front first, as bytes of `orders`."""
    def orders(self) -> NDArray[np.uint8]:
        """All, bids first, best level first, each from its front, as bytes of `orders`."""
    def ahead(self, order_id: int) -> tuple[int, int] | None:
        """Quantity and orders before an order, by a walk from the front; None: there is no such order."""
    def watch_order(self, order_id: int) -> int:
        """Keeps account of what stands before an order. Raises ValueError for an unknown one, or too many."""
    def watch_back(self, side: int, price: int) -> int:
        """The same of the place at the back of a level, as of an order that joins now and stays."""
    def watched(self, watch: int) -> tuple[int, int] | None:
        """Quantity and orders before it; None: its order is gone. Raises KeyError after `unwatch`."""
    def ahead_of(self, watches: list[int]) -> NDArray[np.int64]:
        """Shape (watches, 2): `watched` of each; -1 for one whose order is gone."""
    def unwatch(self, watch: int) -> None:
        """Ends a watch; a number that is none is ignored."""
    def executions(self) -> tuple[int, int]:
        """Executions so far, and those of the first order of its queue."""
    def checksum(self) -> int:
        """CRC32C of all orders, as ORDER_SNAPSHOT carries it."""
    def memory_bytes(self) -> int:
        """Bytes that the book holds."""

@final
class MirroredOrders:
    """The orders of one instrument as a receiver has them at the moment of each call; as `OrderBook`, and
    empty while none are known.
    """

    def scale(self) -> tuple[int, int] | None:
        """Exponents of prices and quantities; None: no orders are known."""
    def __len__(self) -> int:
        """Orders."""
    def get(self, order_id: int) -> tuple[int, int, int, int] | None:
        """As `OrderBook.get`."""
    def best(self, side: int) -> tuple[int, int] | None:
        """As `OrderBook.best`."""
    def level(self, side: int, price: int) -> tuple[int, int]:
        """As `OrderBook.level`."""
    def levels(self, side: int, depth: int = 0) -> NDArray[np.int64]:
        """As `OrderBook.levels`."""
    def queue(self, side: int, price: int) -> NDArray[np.uint8]:
        """As `OrderBook.queue`."""
    def orders(self) -> NDArray[np.uint8]:
        """As `OrderBook.orders`."""
    def ahead(self, order_id: int) -> tuple[int, int] | None:
        """As `OrderBook.ahead`."""
    def watch_order(self, order_id: int) -> int:
        """As `OrderBook.watch_order`. Raises ValueError also while no orders are known."""
    def watch_back(self, side: int, price: int) -> int:
        """As `OrderBook.watch_back`. Raises ValueError also while no orders are known."""
    def watched(self, watch: int) -> tuple[int, int] | None:
        """As `OrderBook.watched`; None also: the orders began anew since."""
    def ahead_of(self, watches: list[int]) -> NDArray[np.int64]:
        """As `OrderBook.ahead_of`; -1 also where the orders began anew since."""
    def unwatch(self, watch: int) -> None:
        """As `OrderBook.unwatch`."""

@final
class Inference:
    """The orders of one instrument, inferred: `outcrier.inference.Inference` without its types."""

    def __init__(self, rule: str, exponent: float, larger: float, smaller: float) -> None:
        """`rule`: a value of `outcrier.inference.Rule`; then its weights. Raises ValueError for others, and
        for weights outside 0 to 4.
        """
    def event(
        self,
        trades: list[tuple[int, int, int, int, int]],
        levels: list[tuple[int, int, int]] | None,
        ts: int,
        bests: list[tuple[int, int, int, int]],
        depth: int,
    ) -> NDArray[np.uint8]:
        """Takes an event: trades (side of the resting order, price, quantity, number, time), the levels
        that changed (side, price, quantity; None = it is no message of levels), best levels since the event
        before (side, price, quantity, time), and how many levels a side are told (0 = all); the changes of
        orders as bytes of `ops`. Raises ValueError for other sides; nothing is taken then."""
    def begin(self, levels: list[tuple[int, int, int]], ts: int, depth: int) -> NDArray[np.uint8]:
        """Takes a whole book (side, price, quantity), of so many levels a side that are told, in place of
        what was known; the changes as in `event`. Raises ValueError for other sides; nothing is taken then.
        """
    def refine(self, price_factor: int, qty_factor: int) -> bool:
        """Multiplies prices and quantities, those of watched places too. False: a number would not fit 64
        bits, and nothing changed. Raises ValueError for factors below 1."""
    def outside(self) -> tuple[int, int]:
        """Levels outside of those that are told whose orders are kept, and how many orders they have."""
    def __len__(self) -> int:
        """Orders."""
    def level(self, side: int, price: int) -> tuple[int, int]:
        """Quantity and orders of a level, zeros for none."""
    def levels(self, side: int, depth: int = 0) -> NDArray[np.int64]:
        """As `OrderBook.levels`."""
    def queue(self, side: int, price: int) -> NDArray[np.uint8]:
        """As `OrderBook.queue`."""
    def watch_back(self, side: int, price: int) -> int:
        """As `OrderBook.watch_back`."""
    def watched(self, watch: int) -> tuple[int, int] | None:
        """As `OrderBook.watched`."""
    def ahead_of(self, watches: list[int]) -> NDArray[np.int64]:
        """As `OrderBook.ahead_of`."""
    def unwatch(self, watch: int) -> None:
        """As `OrderBook.unwatch`."""
    def believed(self, watch: int) -> list[tuple[int, float]]:
        """Quantities that may stand before a watched place, the least first, and their probabilities. This
        and the next four raise KeyError if the watch has ended."""
    def expected(self, watch: int) -> float:
        """Their mean."""
    def quantile(self, watch: int, probability: float) -> int:
        """The least that is not exceeded with a probability. Raises ValueError outside 0 to 1."""
    def interval(self, watch: int, probability: float) -> tuple[int, int, float]:
        """The least and the largest, and how probable what is between them is. Raises ValueError outside 0
        to 1."""
    def outlook(self, watches: list[int], within: list[float]) -> NDArray[np.float64]:
        """Shape (watches, 2 + 3 x within): `expected`, the median, and `interval` for each probability."""
    def fill_probability(self, watch: int, now: int, within_ns: int) -> float | None:
        """That it is reached, from a time (ns since the epoch) on; None: not known yet. Raises ValueError for
        more than 256 s."""
    def counters(self) -> dict[str, int]:
        """unshown (trades that no change of a level showed), late (that came after it), forgotten (too many
        waited, or were outside), refused (changes that do not fit)."""

@final
class Market:
    """A simulated market: orders drawn by a seed, matched by an engine for each instrument. It has no clock:
    its time are nanoseconds since its beginning. Instruments are numbered from 0, prices and quantities are
    mantissas.
    """

    PRICE_EXP: Final[int]
    """price = mantissa * 10**PRICE_EXP, of all instruments."""
    QTY_EXP: Final[int]
    TICK: Final[int]
    """Least distance of prices, as a mantissa."""
    LOT: Final[int]
    """Least quantity, as a mantissa."""
    INSTRUMENTS_MAX: Final[int]
    RATE_MAX: Final[int]
    def __init__(self, seed: int, instruments: int, rate: int) -> None:
        """`rate`: requests a second of each instrument in the mean, 0 = those of the recording that the rates
        are from (12). Raises ValueError for more than INSTRUMENTS_MAX or RATE_MAX, and for no instrument.
        """
    def advance(
        self, until: int, most: int
    ) -> list[
        tuple[
            int,
            int,
            int,
            list[tuple[int, int, int, int, int, int]],
            list[tuple[int, int, int, int]],
            list[tuple[int, int, int]],
        ]
    ]:
        """The next events up to a time, in their order, `most` at most: instrument, number (from 1, one by
        one), time, changes of orders (operation, order, side, price, quantity, reference, as `ops`), trades
        (price, quantity, number, aggressor) and the levels that they touched (side, price, quantity now).
        Fewer than `most`: the market is at that time.
        """
    def orders(self, instrument: int) -> tuple[list[tuple[int, int, int]], list[tuple[int, int, int]]]:
        """All bids and asks as the last event left them (number, price, quantity): best level first, each
        from the front of its queue. Raises IndexError for no instrument.
        """
    def best(self, instrument: int) -> tuple[tuple[int, int, int] | None, tuple[int, int, int] | None]:
        """Price, quantity and orders of the best bid and ask; None where a side is empty. Raises IndexError
        for no instrument.
        """
    def seq(self, instrument: int) -> int:
        """Number of the last event; 0 before the first. Raises IndexError for no instrument."""

class Monitor:
    """Counts what is on every group, without books; frames with REPLAY and TEST too.

    Lines have the numbers of `Receiver.datagram`; text lines are counted apart. Sans-I/O through `datagram`
    and `text`; `open` attaches UDP sockets that `listen` drains without the GIL. Everything kept has a limit
    (`core::tally`)."""

    def __new__(cls) -> Self: ...
    def open(
        self,
        *,
        interface: str,
        group: str,
        snapshot_group: str,
        port: int,
        rcvbuf_bytes: int,
        interface_b: str = "",
        group_b: str = "",
        repair_group: str = "",
        text_group: str = "",
        sources: Sequence[str] = (),
        reuse_port: bool = False,
    ) -> None:
        """Joins the groups that are not empty; an empty `interface_b` is `interface`; `sources` and
        `reuse_port` as of `Receiver.open`. Raises OSError that names group, interface and port."""
    def close(self) -> None: ...
    def effective_rcvbuf(self) -> int:
        """Receive buffer in effect, bytes as the kernel accounts them; 0 without sockets."""
    def listen(self, timeout_ns: int) -> None:
        """Counts what arrives for so long; returns early when a signal comes. Raises OSError."""
    def datagram(self, line: int, data: bytes, rx_ns: int) -> None:
        """One datagram by hand; `rx_ns` in nanoseconds since the epoch."""
    def text(self, data: bytes, rx_ns: int) -> None:
        """One datagram of the text group by hand."""
    def line(self, line: int) -> dict[str, int]:
        """Sums of a line: is_open, kernel_drops, datagrams, bytes (padding included), padding_bytes,
        wrong_plane, unknown_type, refused_* by cause."""
    def texts(self) -> dict[str, int]:
        """Sums of the text group: is_open, kernel_drops, datagrams, refused_text, overrun (lines that were
        not taken in time)."""
    def truncated(self) -> int:
        """Datagrams longer than the buffer that holds every legal one."""
    def streams(self) -> list[dict[str, Any]]:
        """Per channel and plane (0 incremental, 1 snapshot), copies by another line counted once: plane,
        channel, venue (number), session, sessions, replay, test, ended, split, differing, frames, bytes,
        last_ns, high, gaps, missing, late, too_old, old_session, heartbeat (root of the newest, or None),
        types: (number, name, frames, messages inside PACKs, bytes, last_ns) each, and lines: line,
        frames, bytes, last_ns, gaps, missing, duplicates, filled (numbers that had been missing), earlier
        (numbers that it had before another line)."""
    def instruments(
        self, *, channel: int | None = None, text: str = "", limit: int = 100
    ) -> list[dict[str, Any]]:
        """Those of a channel whose symbol holds `text` in any case, the busiest since the call before
        first, at most 1,000: channel, venue, instrument, symbol, since, messages, bytes, books, trades,
        bbos, suspect (with that flag), last_ns, instr_seq, state and reason (numbers of STATUS; 0 = not
        heard), since_ns (when the state began, as the publisher says), expected and got of it, def_version
        and book_proof of the definition (0 = none heard)."""
    def instrument_counts(self) -> tuple[int, int]:
        """Instruments that are counted one by one, and messages of those beyond the limit of 16,384."""
    def changes(self) -> list[tuple[int, int, int, int, int, int]]:
        """The last 512 changes of state that publishers told, the oldest first: receive stamp, venue,
        instrument, state before, state, reason."""
    def gaps(self) -> list[dict[str, Any]]:
        """The last 256 gaps, the oldest first: channel, plane, session, first, count, left (still missing),
        filled (numbers that came, by line), opened_ns, filled_ns (receive stamps; 0 = none)."""
    def hops(self, channel: int) -> list[tuple[str, int, list[tuple[int, int, int]]]]:
        """exchange_to_recv, recv_to_send, send_to_kernel of a channel: durations below zero, and buckets as
        lower bound, upper bound (not included) in nanoseconds and count."""
    def states(self) -> list[tuple[int, int, int, int, int]]:
        """Instruments that the running sessions speak of, counted: channel, venue, state, reason, count."""
    def not_live(self, channel: int, limit: int) -> list[dict[str, Any]]:
        """Of those, what is stale, recovering or not told of, the longest so first, as `instruments`."""
    def told_overrun(self) -> int:
        """Messages that `take_told` did not fetch in time."""
    def take_told(self) -> list[dict[str, Any]]:
        """CONN, SESSION_START, and STATUS that is not about an instrument, since the last call, at most
        16,384: the fields of their roots with msg, rx_ns, channel, venue, session, seq."""
    def take_texts(self) -> list[tuple[int, str]]:
        """Text lines since the last call, at most 1,024: receive stamp and line without its end."""
