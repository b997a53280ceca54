"""The pages of `udp_monitor` and how one leads to the other. Pure."""

from __future__ import annotations

from typing import NamedTuple

from outcrier.monitor.follower import Followed
from outcrier.monitor.instrument_view import instrument
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
    def symbol(self) -> str | None:
        """The instrument to be followed."""
        return self.place.name if self.place.page == "instrument" else None

    @property
    def wish(self) -> Wish:
        """The instruments to be sampled."""
        place = self.place
        if place.page == "instrument":
            return Wish(text=place.name.rpartition("@")[0])
        if place.page == "channel":
            return Wish(place.channel, place.filter.partition("@")[0])
        return Wish(text=place.filter.partition("@")[0] if place.page == "instruments" else "")

    def page(self, shown: Look) -> Table:
        place, report = self.place, shown.report
        if place.page == "instrument":
            followed = shown.followed
            known = followed if followed is not None and followed.symbol == place.name else None
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
        return None
