"""The screen of `websocket_monitor`: its pages, how one leads to the other, what stands around. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from outcrier.monitor.health import HealthReport
from outcrier.monitor.health_views import events, venue, venues
from outcrier.monitor.loss_views import drops
from outcrier.monitor.navigator import Navigator, Place
from outcrier.monitor.paint import Frame, Painted, listening, paint, sums, title
from outcrier.monitor.screen import rate
from outcrier.monitor.table import Table

PAGES: Final[dict[str, Callable[[HealthReport], Table]]] = {
    "venues": venues,
    "events": events,
    "drops": drops,
}
"""Pages by the name of their tab."""

HELP: Final = """\
websocket_monitor shows how feeders stand with their exchanges, from what they say on the wire.
It keeps no books and sends nothing.
  1, 2, 3, Tab, left, right  the pages
  up, down, PgUp, PgDn       move the cursor; Home, End; j, k
  Enter                      open: a venue's connections and the books that are not live
  Esc                        back; ends a filter
  /                          filter rows by a part of any column; Enter keeps, Esc drops it
  ?  q                       this help; end

live       every connection open and heard within what is expected, every book live
degraded   something of that does not hold; why stands beside
down       no connection is open, the session ended, or the feeder is silent for 350 ms
not heard  no frame came, or its connections are not told yet
conns      connections open of those planned
silence/s  since the last message / what is expected; red beyond that
live n/m   books that the feeder vouches for, of those that are not closed
own drops  what this monitor lost of what came: its other numbers may be behind
REPLAY     recorded data, TEST a test: never the market
Rates are of three seconds, counters since the feeder started. Text lines are not signed."""


class HealthNavigator(Navigator[HealthReport]):
    """Tabs, and below them a venue."""

    def __init__(self) -> None:
        super().__init__(tuple(PAGES))

    @property
    def listed(self) -> tuple[int, ...]:
        """The channel whose instruments are listed."""
        place = self.place
        return (place.channel,) if place.page == "venue" and place.channel else ()

    def page(self, shown: HealthReport) -> Table:
        place = self.place
        if place.page == "venue":
            return venue(shown, place.channel or 0, place.name)
        return PAGES[place.page](shown)

    def opened(self, key: object) -> Place | None:
        match key:
            case ("channel", int(number), str(name)) if self.place.page != "venue":
                return Place("venue", number, name)
        return None


class HealthScreen:
    """Where a person is in `websocket_monitor`, and what that looks like."""

    def __init__(self) -> None:
        self.navigator = HealthNavigator()

    def paint(self, shown: HealthReport | None, width: int, height: int) -> Painted:
        """`shown` None: nothing was counted yet."""
        if shown is None:
            return listening("websocket_monitor", width)
        at = shown.address
        found = {
            "REPLAY": any(each.replay for each in shown.venues),
            "TEST": any(each.test for each in shown.venues),
        }
        head = title(
            "websocket_monitor",
            f"{at.feed} port {at.port} on {at.interface}",
            {group.group: group.datagrams_per_s > 0 for group in shown.groups},
            [word for word, holds in found.items() if holds],
            time_ns=shown.time_ns,
            width=width,
        )
        wrong = {"own drops": shown.own_drops, "refused": shown.refused}
        counts = [f"{count} {state}" for state, count in shown.venue_states.items()]
        volume = [f"{group.group} {rate(group.datagrams_per_s)}/s" for group in shown.groups]
        frame = Frame(head, sums(wrong, [*counts, *volume], width), HELP)
        return paint(shown, frame, self.navigator, width, height)
