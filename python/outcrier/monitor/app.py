"""The Textual app: draws what `paint` gives, line by line as it changes, and takes keys."""

from __future__ import annotations

import functools
import threading
from typing import ClassVar, Final

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.app import App, ComposeResult
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from outcrier.errors import NetworkError
from outcrier.monitor.follower import Followed
from outcrier.monitor.navigator import Navigator
from outcrier.monitor.paint import Painted, paint
from outcrier.monitor.report import Report
from outcrier.monitor.source import Source
from outcrier.monitor.table import Line

PERIOD_NS: Final = 100_000_000
"""Ten looks a second: what a person can follow."""

_style = functools.cache(Style.parse)
"""The styles are a few dozen constants."""


class Sampled(Message):
    """The counts of one look; made by another thread."""

    def __init__(self, report: Report, followed: Followed | None) -> None:
        super().__init__()
        self.report = report
        self.followed = followed


class Failed(Message):
    """The sockets cannot be read any more."""

    def __init__(self, error: NetworkError) -> None:
        super().__init__()
        self.error = error


class Canvas(Widget, can_focus=True):
    """Every line of the screen. Only those that changed are drawn again."""

    DEFAULT_CSS = "Canvas { width: 1fr; height: 1fr; }"

    def __init__(self) -> None:
        super().__init__()
        self._lines: list[Line] = []

    def show(self, lines: list[Line]) -> None:
        """Draws what differs from before."""
        before, self._lines = self._lines, lines
        if len(before) != len(lines):
            self.refresh()
            return
        changed = [y for y, (old, new) in enumerate(zip(before, lines, strict=True)) if old != new]
        if changed:
            self.refresh(*(Region(0, y, self.size.width, 1) for y in changed))

    def render_line(self, y: int) -> Strip:
        """Textual asks for a line."""
        width = self.size.width
        if y >= len(self._lines):
            return Strip.blank(width)
        segments = [Segment(text, _style(style)) for text, style in self._lines[y]]
        return Strip(segments).adjust_cell_length(width)


class MonitorApp(App[NetworkError | None]):
    """The screen of `udp_monitor`. Its result is the error that ended it."""

    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar = []

    def __init__(self) -> None:
        super().__init__()
        self.navigator = Navigator()
        self._canvas = Canvas()
        self._report: Report | None = None
        self._followed: Followed | None = None
        self._painted: Painted | None = None

    def compose(self) -> ComposeResult:
        """One widget."""
        yield self._canvas

    def on_mount(self) -> None:
        """Keys go to the canvas."""
        self._canvas.focus()

    def on_sampled(self, message: Sampled) -> None:
        """New counts."""
        self._report, self._followed = message.report, message.followed
        self.redraw()

    def on_failed(self, message: Failed) -> None:
        """Ends with the error."""
        self.exit(message.error)

    def redraw(self) -> None:
        """Draws the last counts as the navigator wants them."""
        width, height = self.size
        self._painted = paint(self._report, self.navigator, self._followed, width, height)
        self._canvas.show(self._painted.lines)

    def on_resize(self) -> None:
        """Another size of the terminal."""
        self.redraw()

    def on_key(self, event: events.Key) -> None:
        """Every key is the navigator's."""
        event.stop()
        event.prevent_default()
        if self.navigator.press(event.key, event.character):
            self.exit()
        else:
            self.redraw()

    def on_mouse_scroll_down(self) -> None:
        """Three rows."""
        self.navigator.scroll(3)
        self.redraw()

    def on_mouse_scroll_up(self) -> None:
        """Three rows."""
        self.navigator.scroll(-3)
        self.redraw()

    def on_click(self, event: events.Click) -> None:
        """A row, if there is one."""
        painted = self._painted
        if painted is not None and 0 <= event.screen_y - painted.first_row_y < painted.rows:
            self.navigator.click(painted.top + event.screen_y - painted.first_row_y)
            self.redraw()


class Sampler(threading.Thread):
    """Reads the sockets, and tells the app ten times a second."""

    def __init__(self, app: MonitorApp, source: Source) -> None:
        super().__init__(name="udp_monitor sampler", daemon=True)
        self._app = app
        self._source = source
        self._end = threading.Event()

    def run(self) -> None:
        """Until it is told to end; the sockets are closed then."""
        try:
            while not self._end.is_set():
                self._source.listen(PERIOD_NS)
                # Written by the other thread: whole values, and an old one does no harm.
                navigator = self._app.navigator
                followed = self._source.follow(navigator.symbol)
                self._app.post_message(Sampled(self._source.take(navigator.wish), followed))
        except NetworkError as error:
            self._app.post_message(Failed(error))
        finally:
            self._source.close()

    def end(self) -> None:
        """Ends it and waits for that, at most about a look."""
        self._end.set()
        self.join()


def run(source: Source) -> None:
    """Shows the screen until a person ends it. Raises NetworkError."""
    app = MonitorApp()
    sampler = Sampler(app, source)
    sampler.start()
    try:
        error = app.run()
    finally:
        sampler.end()
    if error is not None:
        raise error
