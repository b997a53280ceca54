"""The Textual app: draws what `paint` gives, line by line as it changes, and takes keys."""

from __future__ import annotations

import functools
import threading
from typing import Any, ClassVar, Final, Generic, Protocol, TypeVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.app import App, ComposeResult
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from outcrier.errors import NetworkError
from outcrier.monitor.navigator import Navigator, Shown
from outcrier.monitor.paint import Painted
from outcrier.monitor.table import Line

PERIOD_NS: Final = 100_000_000
"""Ten looks a second: what a person can follow."""

Shown_co = TypeVar("Shown_co", covariant=True)

_style = functools.cache(Style.parse)
"""The styles are a few dozen constants."""


class MonitorScreen(Protocol[Shown]):
    """What a program shows."""

    @property
    def navigator(self) -> Navigator[Shown]:
        """Where a person is."""

    def paint(self, shown: Shown | None, width: int, height: int) -> Painted:
        """Every line; None: nothing was counted yet."""


class Listener(Protocol[Shown_co]):
    """The counts behind a screen; belongs to one thread."""

    def listen(self, timeout_ns: int) -> None:
        """Counts for so long. Raises NetworkError."""

    def look(self) -> Shown_co:
        """What was counted up to now, as the screen wants it. Raises NetworkError."""

    def close(self) -> None:
        """Leaves the groups."""


class Sampled(Message):
    """The counts of one look; made by another thread."""

    def __init__(self, shown: object) -> None:
        super().__init__()
        self.shown = shown


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
    """A monitor on a terminal. Its result is the error that ended it."""

    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar = []

    def __init__(self, face: MonitorScreen[Any]) -> None:
        super().__init__()
        self._face = face
        self._canvas = Canvas()
        self._shown: object = None
        self._painted: Painted | None = None

    def compose(self) -> ComposeResult:
        """One widget."""
        yield self._canvas

    def on_mount(self) -> None:
        """Keys go to the canvas."""
        self._canvas.focus()

    def on_sampled(self, message: Sampled) -> None:
        """New counts."""
        self._shown = message.shown
        self.redraw()

    def on_failed(self, message: Failed) -> None:
        """Ends with the error."""
        self.exit(message.error)

    def redraw(self) -> None:
        """Draws the last counts as the navigator wants them."""
        width, height = self.size
        self._painted = self._face.paint(self._shown, width, height)
        self._canvas.show(self._painted.lines)

    def on_resize(self) -> None:
        """Another size of the terminal."""
        self.redraw()

    def on_key(self, event: events.Key) -> None:
        """Every key is the navigator's."""
        event.stop()
        event.prevent_default()
        if self._face.navigator.press(event.key, event.character):
            self.exit()
        else:
            self.redraw()

    def on_mouse_scroll_down(self) -> None:
        """Three rows."""
        self._face.navigator.scroll(3)
        self.redraw()

    def on_mouse_scroll_up(self) -> None:
        """Three rows."""
        self._face.navigator.scroll(-3)
        self.redraw()

    def on_click(self, event: events.Click) -> None:
        """A row, if there is one."""
        painted = self._painted
        if painted is not None and 0 <= event.screen_y - painted.first_row_y < painted.rows:
            self._face.navigator.click(painted.top + event.screen_y - painted.first_row_y)
            self.redraw()


class Sampler(threading.Thread, Generic[Shown]):
    """Reads the sockets, and tells the app ten times a second."""

    def __init__(self, app: MonitorApp, listener: Listener[Shown]) -> None:
        super().__init__(name="monitor sampler", daemon=True)
        self._app = app
        self._listener = listener
        self._end = threading.Event()

    def run(self) -> None:
        """Until it is told to end; the sockets are closed then."""
        try:
            while not self._end.is_set():
                self._listener.listen(PERIOD_NS)
                self._app.post_message(Sampled(self._listener.look()))
        except NetworkError as error:
            self._app.post_message(Failed(error))
        finally:
            self._listener.close()

    def end(self) -> None:
        """Ends it and waits for that, at most about a look."""
        self._end.set()
        self.join()


def run(listener: Listener[Shown], face: MonitorScreen[Shown]) -> None:
    """Shows the screen until a person ends it. Raises NetworkError."""
    app = MonitorApp(face)
    sampler = Sampler(app, listener)
    sampler.start()
    try:
        error = app.run()
    finally:
        sampler.end()
    if error is not None:
        raise error
