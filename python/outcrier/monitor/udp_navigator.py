"""The pages of `udp_monitor` and how one leads to the other. Pure."""

from __future__ import annotations

from typing import NamedTuple

from outcrier.monitor.follower import Followed
from outcrier.monitor.instrument_view import instrument, queues
from outcrier.monitor.navigator import Navigator, Place
from outcrier.monitor.report import Report, Wish
from outcrier.monitor.table import Table
from outcrier.monitor.views import PAGES, channel, channels


class Look(NamedTuple):
    """The counts of one look."""

    report: Report
    followed: Followed | None
    """The instrument that is looked at."""


class UdpNavigator(Navigator[Look]):
    """Tabs, and below them channels, venues and instruments."""

    def __init__(self) -> None:
        super().__init__(tuple(PAGES))

    @property
    def path(self) -> list[str]:
        *above, last = super().path
        return [*above, "orders" if self.place.page == "orders" else last]

    @property
    def symbol(self) -> str | None:
        """The instrument to be followed."""
        return self.place.name if self.place.page in {"instrument", "orders"} else None

    @property
    def wish(self) -> Wish:
        """The instruments to be sampled."""
        place = self.place
        if self.symbol is not None:
            return Wish(text=place.name.rpartition("@")[0])
        if place.page == "channel":
            return Wish(place.channel, place.filter.partition("@")[0])
        return Wish(text=place.filter.partition("@")[0] if place.page == "instruments" else "")

    def page(self, shown: Look) -> Table:
        place, report = self.place, shown.report
        if self.symbol is not None:
            followed = shown.followed
            known = followed if followed is not None and followed.symbol == place.name else None
            if place.page == "orders":
                return queues(place.name, known)
            return instrument(report, place.name, known)
        if place.page == "channel":
            return channel(report, place.channel or 0)
        if place.page == "venue":
            return channels(report, place.name)
        return PAGES[place.page](report)

    def opened(self, key: object) -> Place | None:
        match key:
            case ("channel", int(number)) if self.place.page != "channel":
                return Place("channel", number)
            case ("venue", str(name)):
                return Place("venue", name=name)
            case ("instrument", str(name)):
                return Place("instrument", name=name)
            case ("orders", str(name)):
                return Place("orders", name=name)
        return None
