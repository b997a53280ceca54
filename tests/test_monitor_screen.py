"""The screen of `udp_monitor`: real frames through the counts and the headless app, against golden text."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot

from feed_bench import Bench, lines
from outcrier import _core
from outcrier.capture.library import group_by_venue
from outcrier.capture.replay import replay_into
from outcrier.errors import NetworkError
from outcrier.layout import TRADE
from outcrier.monitor.app import Failed, MonitorApp, Sampled
from outcrier.monitor.follower import Followed, Follower
from outcrier.monitor.reporter import Reporter
from outcrier.monitor.udp_navigator import Look
from outcrier.monitor.udp_screen import UdpScreen
from outcrier.orders import ORDER
from outcrier.reception import Address
from wire_reference import crc32c

CaptureFinder = Callable[[str], Path]
Steps = Callable[["Screen"], Awaitable[None]]

SPOT = "binance/spot_2021-10-12"
USDM = "binance_usdm/usdm_btcusdt_2022-08-11"
PERP = "BTC/USDT:PERP@binance_usdm"
SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
ADDRESS = Address("crypto", "lo", "239.1.1.1", "239.1.1.3", 9001, "lo", "239.1.1.2", "239.1.1.5", "239.1.1.4")
WIDTH, HEIGHT = 120, 40
KEYS = " / filter   ? help   Enter open   Esc back   q quit"
TABS = " 1 channels  2 venues  3 instruments  4 states  5 gaps  6 drops  7 latency  8 text"


class Screen:
    """The app, what feeds it, and what it shows."""

    def __init__(
        self, face: UdpScreen, app: MonitorApp, pilot: Pilot[NetworkError | None], frames: list[bytes]
    ) -> None:
        self.navigator = face.navigator
        self.app = app
        self.pilot = pilot
        self.monitor = _core.Monitor()
        self.reporter = Reporter(ADDRESS, 1_000, 0)
        self.frames = frames
        self.follower: Follower | None = None

    async def sample(self, second: int) -> None:
        """Shows what was counted up to then."""
        report = self.reporter.take(
            self.monitor,
            mono_ns=second * SECOND,
            wall_ns=START + second * SECOND,
            wish=self.navigator.wish,
        )
        self.app.post_message(Sampled(Look(report, self._followed())))
        await self.pilot.pause()

    def _followed(self) -> Followed | None:
        symbol = self.navigator.symbol
        if symbol is None:
            return None
        if self.follower is None:
            self.follower = Follower(symbol)
            for number, frame in enumerate(self.frames):
                self.follower.receiver.datagram(0, frame, START, number)
        return self.follower.look(START + SECOND)

    async def press(self, *keys: str) -> None:
        """Keys of a person."""
        await self.pilot.press(*keys)
        await self.pilot.pause()

    def text(self) -> list[str]:
        """The lines without blanks at their ends; empty ones are left out."""
        strips = self.app.screen._compositor.render_strips()
        assert len(strips) == HEIGHT
        assert {strip.cell_length for strip in strips} == {WIDTH}
        lines = ["".join(segment.text for segment in strip).rstrip() for strip in strips]
        return [line for line in lines if line]


def run(frames: list[bytes], steps: Steps) -> MonitorApp:
    async def ran() -> MonitorApp:
        face = UdpScreen()
        app = MonitorApp(face)
        async with app.run_test(size=(WIDTH, HEIGHT)) as pilot:
            await steps(Screen(face, app, pilot, frames))
        return app

    return asyncio.run(ran())


@pytest.fixture(scope="module")
def frames(capture: CaptureFinder) -> list[bytes]:
    """Two venues, as a replay sends them on the incremental plane, without padding."""
    publisher = _core.Publisher.memory()
    feeds = [replay_into(publisher, group_by_venue([capture(name)])[0]) for name in (SPOT, USDM)]
    assert len(feeds) == 2
    return [
        data[: 66 + int.from_bytes(data[6:8], "little")] for plane, data in publisher.take() if plane == 0
    ]


def levels_end(lines: list[str]) -> int:
    """Where the lines behind the book begin."""
    return max(number for number, line in enumerate(lines) if " | " in line) + 1


def title(time: str, *groups: str) -> str:
    left = f" udp_monitor  REPLAY   crypto port 9001 on lo {' '.join(groups)}"
    return f"{left}{f'{time} UTC'.rjust(WIDTH - 1 - len(left))}"


def of(frames: list[bytes], channel: int) -> list[bytes]:
    return [frame for frame in frames if frame[9] == channel]


def counts(frames: list[bytes]) -> Counter[str]:
    """Messages of instruments by their types, of frames without PACKs."""
    decoded = map(_core.decode_frame, frames)
    return Counter(message["msg"] for message in decoded if message["instrument"])


def test_the_first_page_shows_a_row_for_each_plane_of_a_channel(frames: list[bytes]) -> None:
    async def steps(screen: Screen) -> None:
        assert screen.text() == ["udp_monitor: listening ..."]
        for frame in frames:
            screen.monitor.datagram(0, frame, START + SECOND)
        await screen.sample(1)
        one, two = of(frames, 1), of(frames, 2)
        size = [sum(map(len, part)) for part in (one, two)]
        total = f"{sum(size) / 1e3:.0f}k"
        untroubled = "        0      0       0       -        0       - 0.00 s"
        assert screen.text() == [
            title("22:13:21.000", "A"),
            TABS,
            (
                " ch venue         plane state          packets/s bytes/s  missing   gaps  A lost  B lost"
                " repaired   first   seen"
            ),
            f"  1 binance       incr  REPLAY         {len(one):>9,} {size[0] / 1e3:>6.0f}k{untroubled}",
            f"  2 binance_usdm  incr  REPLAY         {len(two):>9,} {size[1] / 1e3:>6.0f}k{untroubled}",
            f" missing 0  own drops 0  refused 0  A {len(frames):,}/s {total}B/s",
            KEYS,
        ]
        # Two seconds later nothing came: the publishers are dead.
        await screen.sample(3)
        assert [line[24:38].strip() for line in screen.text()[3:5]] == ["REPLAY SILENT"] * 2
        assert [line[38:56].split() for line in screen.text()[3:5]] == [["0", "0"]] * 2

    run(frames, steps)


def test_a_filter_leaves_the_rows_that_hold_it(frames: list[bytes]) -> None:
    async def steps(screen: Screen) -> None:
        for frame in frames:
            screen.monitor.datagram(0, frame, START)
        await screen.sample(1)
        await screen.press("slash", *"USDM")
        assert screen.text()[-1] == "/USDM_"
        await screen.press("enter")
        shown = screen.text()
        assert [line.split()[1] for line in shown[3:-2]] == ["binance_usdm"]
        assert shown[-1] == f" filter 'USDM'  {KEYS}"
        await screen.press("slash", "x")
        assert screen.text()[3:-2] == [" no row holds 'USDMx'"]
        await screen.press("escape")
        assert len(screen.text()[3:-2]) == 2
        # The filter of instruments is the core's, which knows those that are not shown too.
        await screen.press("3", "slash", *"nkn", "enter")
        assert screen.navigator.wish.text == "nkn"
        await screen.sample(2)
        assert [line.split()[0] for line in screen.text()[3:-2]] == ["NKN/USDT@binance"]
        await screen.press("escape")
        assert screen.text()[-1] == KEYS

    run(frames, steps)


def test_help_covers_the_page_until_a_key(frames: list[bytes]) -> None:
    async def steps(screen: Screen) -> None:
        screen.monitor.datagram(0, frames[0], START)
        await screen.sample(1)
        before = screen.text()
        await screen.press("question_mark")
        shown = screen.text()
        assert shown[:2] == before[:2]
        assert shown[2].startswith("udp_monitor counts what is on the wire. It keeps no books, sends nothing")
        assert (
            "  /                            filter rows by a part of any column; Enter keeps it, Esc drops it"
        ) in shown
        assert shown[-1] == " any key: back"
        await screen.press("q")
        assert screen.text() == before
        await screen.press("q")

    assert not run(frames, steps).is_running


def test_enter_goes_down_to_the_book_of_an_instrument(frames: list[bytes]) -> None:
    two = of(frames, 2)

    async def steps(screen: Screen) -> None:
        for frame in frames:
            screen.monitor.datagram(0, frame, START + SECOND)
        await screen.sample(1)
        await screen.press("down", "enter")
        await screen.sample(2)
        kinds = counts(two)
        channel = screen.text()
        assert channel[1] == f"{TABS}  > ch 2"
        last = _core.decode_frame(two[-1])
        assert channel[2] == (
            f"incremental REPLAY SILENT  session 1, 1 heard  seq {last['channel_seq']:,}  missing 0 in 0 gaps"
        )
        books = kinds["BOOK_DELTA"] + kinds["BOOK_SNAPSHOT"]
        row = (
            f"{PERP:<32}   2 live        sequence           0 {kinds.total():>11,} {books:>10,}"
            f" {kinds['TRADE']:>9,} {kinds['BBO']:>10,} 1.00 s"
        )
        assert channel[-3] == row
        await screen.press("enter")
        assert screen.text()[1].endswith(f"  > ch 2 > {PERP}")
        await screen.sample(3)
        shown = screen.text()
        assert shown[2] == f"{PERP}  publisher: live   proof: sequence"
        book = screen.follower
        assert book is not None
        price_exp, qty_exp, bids, asks = book.receiver.top(2, 1, 10)
        (bid, bid_qty), (ask, ask_qty) = bids[0], asks[0]
        told = [f"{mantissa / 10**-exp:.{-exp}f}" for mantissa, exp in (
            (bid_qty, qty_exp), (bid, price_exp), (ask, price_exp), (ask_qty, qty_exp))]  # fmt: skip
        assert shown[6] == f"{told[0]:>18} {told[1]:>18} | {told[2]:<18} {told[3]}"
        levels = [line for line in shown if " | " in line]
        assert len(levels) == 11
        # Below the book: the consumer's states and the publisher's, the last one first.
        assert shown[levels_end(shown) : -2] == [
            "at (UTC)     who        state        reason",
            "22:13:21.000 consumer   LIVE",
            "22:13:21.000 consumer   RECOVERING",
            "22:13:21.000 publisher  live",
            "22:13:21.000 publisher  recovering",
        ]
        await screen.press("escape", "escape")
        await screen.sample(4)
        assert screen.text()[1] == TABS
        assert screen.navigator.symbol is None

    run(frames, steps)


def test_what_nothing_proves_and_what_is_suspect_stands_beside_the_instrument(capture: CaptureFinder) -> None:
    """The publisher marks an event; a book without numbers and checksums of the venue is a label."""
    bench = Bench("binance_usdm")
    bench.add("BTCUSDT", book_proof=0)
    for line in lines(capture(USDM), most=300):
        bench.take(line)
    sent = [
        data[: 66 + int.from_bytes(data[6:8], "little")]
        for plane, data in bench.publisher.take()
        if plane == 0
    ]
    trades = [number for number, frame in enumerate(sent) if frame[2] == TRADE]
    for number in trades[:3]:
        flags = int.from_bytes(sent[number][4:6], "little") | 1 << 11
        header = sent[number][:4] + flags.to_bytes(2, "little") + sent[number][6:62]
        body = sent[number][66:]
        sent[number] = header + crc32c(header + body).to_bytes(4, "little") + body

    async def steps(screen: Screen) -> None:
        for frame in sent:
            screen.monitor.datagram(0, frame, START + SECOND)
        await screen.press("3")
        await screen.sample(1)
        head, row = screen.text()[2:4]
        assert row[head.index("proof") :].split()[0] == "UNVERIFIABLE"
        await screen.press("2")
        await screen.sample(2)
        head, row = screen.text()[2:4]
        assert row.split()[-1] == "3"
        assert head.split()[-1] == "suspect"
        await screen.press("3", "enter")
        await screen.sample(3)
        shown = screen.text()
        assert shown[2] == "BTCUSDT@binance_usdm  publisher: live   proof: UNVERIFIABLE"
        assert " bbos, 3 suspect  seq " in shown[3]

    run(sent, steps)


def test_the_gap_page_tells_what_was_lost_on_each_line_and_what_filled_it(frames: list[bytes]) -> None:
    two = of(frames, 2)[:60]

    async def steps(screen: Screen) -> None:
        for number, frame in enumerate(two):
            at = START + 1_000_000 * number
            if number not in {20, 21, 40, 50}:
                screen.monitor.datagram(0, frame, at)
            if number not in {30, 40, 50}:
                screen.monitor.datagram(2, frame, at + 100_000)
        screen.monitor.datagram(3, two[40], START + 43_000_000)
        await screen.press("5")
        await screen.sample(1)
        assert screen.text() == [
            title("22:13:21.000", "A", "B", "repair"),
            TABS,
            "2 binance_usdm incr     lost on A 4  lost on B 3  lost on all 1  filled by repair 1",
            (
                "seen (UTC)    ch plane         first    count     left filled by                 "
                "       after    session"
            ),
            "22:13:20.051   2 incr             51        1        1 -" + " " * 36 + "-          1",
            (
                "22:13:20.041   2 incr             41        1        0 repair 1                 "
                "       2.0 ms          1"
            ),
            screen.text()[-2],
            KEYS,
        ]
        assert screen.text()[-2].startswith(" missing 1  own drops 0  refused 0  A ")
        await screen.press("1")
        (row,) = screen.text()[3:-2]
        assert row.split() == [
            *("2", "binance_usdm", "incr", "REPLAY", "SILENT", "59"),
            *(row.split()[6], "1", "2", "4", "3", "1", "A", "100", "%", "0.96", "s"),
        ]  # fmt: skip

    run(frames, steps)


def test_what_is_refused_and_the_text_lines_have_their_pages(frames: list[bytes]) -> None:
    async def steps(screen: Screen) -> None:
        for data in (frames[0], b"stray", frames[1][:-1]):
            screen.monitor.datagram(0, data, START)
        screen.monitor.datagram(1, frames[2], START)
        lines = (b"CONN|BINANCE|3|1|4\n", b"BINANCE|spot|trade|9,9,0,0|1763690000123\n", b"bad\x1b\n")
        for number, line in enumerate(lines):
            screen.monitor.text(line, START + number * SECOND)
        await screen.press("6")
        await screen.sample(1)
        rows = [line.split(maxsplit=7) for line in screen.text()[4:-2]]
        assert [(row[0], row[4], row[-1]) for row in rows] == [
            ("A", "3", "1 too short, 1 length"),
            ("snapshot", "1", "1 wrong plane"),
            ("text", "3", "1 text"),
        ]
        await screen.press("8")
        assert screen.text()[3:-2] == [
            "22:13:21.000 BINANCE|spot|trade|9,9,0,0|1763690000123",
            "22:13:20.000 CONN|BINANCE|3|1|4",
        ]

    run(frames, steps)


def test_every_page_fits_a_small_screen(frames: list[bytes]) -> None:
    async def ran() -> None:
        face = UdpScreen()
        app = MonitorApp(face)
        async with app.run_test(size=(60, 12)) as pilot:
            screen = Screen(face, app, pilot, frames)
            for frame in frames:
                screen.monitor.datagram(0, frame, START)
            for page in "12345678":
                await screen.press(page)
                await screen.sample(int(page))
                strips = app.screen._compositor.render_strips()
                assert [strip.cell_length for strip in strips] == [60] * 12
            await screen.press("3", "end", "enter")
            await screen.sample(9)
            assert face.navigator.place.name.endswith("@binance")

    asyncio.run(ran())


def test_a_socket_that_fails_ends_the_screen_with_the_error(frames: list[bytes]) -> None:
    async def steps(screen: Screen) -> None:
        screen.app.post_message(Failed(NetworkError("the interface is gone")))
        await screen.pilot.pause()

    assert str(run(frames, steps).return_value) == "the interface is gone"


def test_an_instrument_with_orders_opens_their_queues(capture: CaptureFinder) -> None:
    publisher = _core.Publisher.memory()
    feed = replay_into(publisher, group_by_venue([capture(USDM)])[0], infer_orders=True)
    assert feed.feed.counters()["order_ops"] > 10_000
    told = [frame for plane, frame in publisher.take() if plane == 0]

    async def steps(screen: Screen) -> None:
        for frame in told:
            screen.monitor.datagram(0, frame, START + SECOND)
        await screen.sample(1)
        await screen.press("3", "enter")
        await screen.sample(2)
        await screen.sample(3)
        book = screen.follower
        assert book is not None
        orders = book.receiver.orders("BTC/USDT:PERP@2")
        assert f"{len(orders):,} orders, inferred; Enter shows their queues" in screen.text()
        await screen.press("enter")
        await screen.sample(4)
        shown = screen.text()
        assert shown[1].endswith(f" > {PERP} > orders")
        rows = [line.split() for line in shown if line.split()[:1] in (["ask"], ["bid"])]
        assert [row[0] for row in rows] == ["ask"] * 10 + ["bid"] * 10
        bid = rows[10]
        price, qty, count = orders.levels(1, 1)[0].tolist()
        price_exp, qty_exp = orders.scale() or (0, 0)
        assert bid[1:4] == [
            f"{price / 10**-price_exp:.{-price_exp}f}",
            f"{qty / 10**-qty_exp:.3f}",
            f"{count}",
        ]
        queue = orders.queue(1, price).view(ORDER)["qty"].tolist()
        assert [each.removeprefix("~") for each in bid[4:6]] == [f"{each / 1000:.3f}" for each in queue[:2]]
        await screen.press("escape", "escape")
        assert screen.navigator.symbol is None

    run(told, steps)
