"""The screen of `websocket_monitor`: real frames through model and headless app, against golden text."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot

from health_scene import SECOND, START, USDM, Scene
from outcrier.errors import NetworkError
from outcrier.monitor.app import MonitorApp, Sampled
from outcrier.monitor.health_screen import HealthScreen
from outcrier.monitor.styles import clock
from outcrier.text_lines import ErrorLine

CaptureFinder = Callable[[str], Path]
Steps = Callable[["Shown"], Awaitable[None]]

KEYS = " / filter   ? help   Enter open   Esc back   q quit"
RED = "bold #f4005f"
"""What Textual makes of bold red."""
TABS = " 1 venues  2 events  3 drops"


class Shown:
    """The app, the scene that it shows, and what it looks like."""

    def __init__(self, scene: Scene, pilot: Pilot[NetworkError | None], face: HealthScreen) -> None:
        self.scene = scene
        self.face = face
        self._pilot = pilot

    async def look(self, after_ns: int = 0) -> list[str]:
        """Shows what is known then."""
        scene, now = self.scene, self.scene.now + after_ns
        listed = self.face.navigator.listed
        report = scene.model.take(scene.monitor, mono_ns=now, wall_ns=START + now, listed=listed)
        self._pilot.app.post_message(Sampled(report))
        await self._pilot.pause()
        return self.text()

    async def press(self, *keys: str) -> list[str]:
        await self._pilot.press(*keys)
        await self._pilot.pause()
        return self.text()

    def text(self) -> list[str]:
        """The lines without blanks at their ends; empty ones are left out."""
        strips = self._pilot.app.screen._compositor.render_strips()
        assert {strip.cell_length for strip in strips} == {self._pilot.app.size.width}
        lines = ["".join(segment.text for segment in strip).rstrip() for strip in strips]
        return [line for line in lines if line]

    def style(self, text: str) -> str:
        """The style of the first part that is `text`."""
        strips = self._pilot.app.screen._compositor.render_strips()
        found = [segment for strip in strips for segment in strip if segment.text.strip() == text]
        return str(found[0].style)


def run(scene: Scene, steps: Steps, size: tuple[int, int] = (160, 50)) -> None:
    async def ran() -> None:
        face = HealthScreen()
        app = MonitorApp(face)
        async with app.run_test(size=size) as pilot:
            await steps(Shown(scene, pilot, face))

    asyncio.run(ran())


@pytest.fixture
def scene(capture: CaptureFinder) -> Scene:
    """Two connections that bring 40 messages a second each, heard for three seconds."""
    scene = Scene(capture(USDM))
    scene.hear(scene.frames())
    for _ in range(3):
        scene.second(1, 2, messages=40)
    return scene


def session(scene: Scene) -> str:
    """Age of the session as the screen writes it: that of the virtual clock over the machine's."""
    (venue,) = scene.report().venues
    assert venue.session_s is not None
    return f"{venue.session_s / 60:.0f} min"


def test_the_first_page_has_a_row_for_each_venue(scene: Scene) -> None:
    async def steps(shown: Shown) -> None:
        assert shown.text() == ["websocket_monitor: listening ..."]
        lines = await shown.look()
        assert lines[0].startswith(" websocket_monitor  crypto port 9001 on lo A ")
        assert lines[0].endswith(f" {clock(START + 3 * SECOND)} UTC")
        assert lines[1:] == [
            TABS,
            (
                "venue         state     conns  msgs/s bytes/s silence/s            live reconnects streams"
                " session flags  why, last error"
            ),
            (
                "binance_usdm  live        2/2      80    8.0k    0.0/10 ·····       1/1          0       6"
                f" {session(scene)[:6]}…"
            ),
            lines[4],
            KEYS,
        ]
        assert lines[4].startswith(" own drops 0  refused 0  1 live  A ")
        # The connection that is silent, and then the feeder.
        for _ in range(11):
            scene.second(1, messages=40)
        lines = await shown.look()
        assert lines[3].split()[:6] == ["binance_usdm", "degraded", "2/2", "40", "4.0k", "0.0/10"]
        assert lines[3].endswith(" conn 2 silent for 11 s")
        lines = await shown.look(400_000_000)
        assert lines[3].split()[1:3] == ["down", "2/2"]
        assert lines[3].endswith(" feeder silent for 0.4 s")
        assert shown.style("down").startswith(RED)

    run(scene, steps)


def test_a_small_screen_shows_state_and_cause(scene: Scene) -> None:
    scene.hear(scene.lose(2))

    async def steps(shown: Shown) -> None:
        lines = await shown.look()
        assert lines[2:4] == [
            "venue         state     conns  msgs/s silence/s      live why, last error",
            "binance_usdm  degraded    1/2      80    0.0/10       1/1 1 of 2 connections | …",
        ]
        for page in "123":
            await shown.press(page)
        assert (await shown.press("1", "enter"))[1] == f"{TABS}  > binance_usdm"

    run(scene, steps, (80, 24))


def test_enter_opens_the_connections_and_the_books_that_are_not_live(scene: Scene) -> None:
    index = scene.bench.indices["BTCUSDT"]
    scene.bench.feed.disconnected([index])
    scene.hear(scene.lose(2))
    at_ms = (START + scene.now) // 1_000_000
    scene.monitor.text(ErrorLine("BINANCE", "usdm", at_ms, "conn=2 lost: closed 1006").encode(), START)

    async def steps(shown: Shown) -> None:
        await shown.look()
        await shown.press("enter")
        lines = await shown.look()
        assert shown.face.navigator.listed == (2,)
        assert lines[1:7] == [
            f"{TABS}  > binance_usdm",
            "binance_usdm degraded: 1 of 2 connections; 1 stale (disconnect)",
            f"channel 2, session 90000001 for {session(scene)}, heard 0.00 s ago",
            "1 of 2 connections, 0 reconnects, 6 streams, 240 messages",
            "books: 1 stale (disconnect)",
            lines[6],
        ]
        assert lines[6].endswith(" conn=2 lost: closed 1006")
        assert [line.split() for line in lines[8:11]] == [
            ["conn", "1", "open", ">2.00", "s", "40", "4.0k", "0.0/10", "·····", "0", "3", "-"],
            lines[9].split(),
            lines[10].split(),
        ]
        assert lines[9].split()[:3] == ["conn", "2", "lost"]
        assert lines[9].endswith(" lost: closed 1006")
        assert lines[10].split()[:2] == ["BTCUSDT@binance_usdm", "stale"]
        assert lines[10].endswith(" disconnect")
        lines = await shown.press("slash", *"btc", "enter")
        assert [line.split()[0] for line in lines[8:-2]] == ["BTCUSDT@binance_usdm"]
        assert (await shown.press("escape", "escape"))[1] == TABS

    run(scene, steps)


def test_events_stand_with_their_times_the_last_first(scene: Scene) -> None:
    async def steps(shown: Shown) -> None:
        await shown.look()
        scene.now += SECOND // 2
        scene.hear(scene.lose(2))
        await shown.look()
        at = clock(START + scene.now)
        assert (await shown.press("2"))[2:-2] == [
            "at (UTC)     venue            what",
            f"{at} binance_usdm     degraded: 1 of 2 connections",
            f"{at} binance_usdm     conn 2 lost: closed 1006",
            f"{clock(START)} binance_usdm     heard, session 90000001",
        ]
        assert shown.style("conn 2 lost: closed 1006") == RED
        assert (await shown.press("enter"))[1].endswith("  > binance_usdm")

    run(scene, steps)


def test_what_it_lost_itself_is_counted_and_shown(scene: Scene) -> None:
    for number in range(1_030):
        scene.monitor.text(f"line {number}\n".encode(), START)
    scene.monitor.datagram(0, b"stray", START)

    async def steps(shown: Shown) -> None:
        lines = await shown.look()
        assert lines[-2].startswith(" own drops 6  refused 1  1 live ")
        assert shown.style("own drops 6").startswith(RED)
        lines = await shown.press("3")
        assert "1 too short" in lines[4]

    run(scene, steps)


def test_a_venue_without_a_frame_is_shown_with_its_error(capture: CaptureFinder) -> None:
    scene = Scene(capture(USDM), venues=["binance", "binance_usdm"])
    error = ErrorLine("BINANCE", "usdm", START // 1_000_000, "instruments HTTP 451; next try in 600.0 s")
    scene.monitor.text(error.encode(), START)

    async def steps(shown: Shown) -> None:
        lines = await shown.look()
        cells = ["not", "heard", "0/-", "-", "-", "-", "0/0", "0", "0", "-", "no", "frame", "heard"]
        assert lines[3].split() == ["binance", *cells]
        assert lines[4].split()[: len(cells) + 1] == ["binance_usdm", *cells]
        assert lines[4].split(" no frame heard | ")[1].startswith(f"{clock(START)[:8]} instruments HTTP 451")
        lines = await shown.press("enter")
        assert lines[2:4] == ["binance not heard: no frame heard", lines[3]]
        assert " every book live" not in "".join(lines), "nobody knows"

    run(scene, steps)


def test_help_names_every_state(scene: Scene) -> None:
    async def steps(shown: Shown) -> None:
        await shown.look()
        lines = await shown.press("question_mark")
        told = {line.split("  ")[0] for line in lines}
        assert {"live", "degraded", "down", "not heard"} <= told
        assert lines[-1] == " any key: back"

    run(scene, steps)
