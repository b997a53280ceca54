"""The screen of `udp_monitor`: what stands around its pages. Pure."""

from __future__ import annotations

from typing import Final

from outcrier.monitor.paint import Frame, Painted, listening, paint, sums, title
from outcrier.monitor.report import Report
from outcrier.monitor.screen import rate
from outcrier.monitor.table import Line, size
from outcrier.monitor.udp_navigator import Look, UdpNavigator

HELP: Final = """\
udp_monitor counts what is on the wire. It keeps no books, sends nothing, and slows nobody down.

  1 ... 8, Tab, left, right    the pages
  up, down, PgUp, PgDn         move the cursor; Home, End; j, k
  Enter                        open: channel or venue > its instruments > one instrument
                               > the queues of its orders, where there are any
  Esc                          back; ends a filter
  /                            filter rows by a part of any column; Enter keeps it, Esc drops it
  ?                            this help
  q                            end

missing    numbers that no group brought: neither line A nor line B nor the repair group
A lost     numbers that line A alone did not bring; B lost the same of line B
repaired   numbers that were missing and came by the repair group
gaps       how often a higher number came before them; mostly the other line fills them
first      the line that has most numbers before the other, and how often
own drops  what the kernel dropped for this monitor alone: then its other counts say less
proof      what proves a book whole: the exchange's numbers or checksums; UNVERIFIABLE: nothing
suspect    messages that the publisher finds unlikely, and passes on as they came
REPLAY     recorded data, TEST a test: never the market
SILENT     nothing for 350 ms: the publisher is dead; ENDED it said so; SPLIT there are two

An opened instrument is followed with its book, as any consumer does it, until it is left.
Rates are of the last second. Everything else is since the start of this monitor."""


class UdpScreen:
    """Where a person is in `udp_monitor`, and what that looks like."""

    def __init__(self) -> None:
        self.navigator = UdpNavigator()

    def paint(self, shown: Look | None, width: int, height: int) -> Painted:
        """`shown` None: nothing was counted yet."""
        if shown is None:
            return listening("udp_monitor", width)
        report = shown.report
        return paint(
            shown, Frame(_title(report, width), _sums(report, width), HELP), self.navigator, width, height
        )


def _title(report: Report, width: int) -> Line:
    at = report.address
    groups = {group.group: group.datagrams_per_s > 0 for group in report.groups}
    found = {
        "REPLAY": any(stream.replay for stream in report.channels),
        "TEST": any(stream.test for stream in report.channels),
    }
    words = [word for word, holds in found.items() if holds]
    where = f"{at.feed} port {at.port} on {at.interface}"
    return title("udp_monitor", where, groups, words, time_ns=report.time_ns, width=width)


def _sums(report: Report, width: int) -> Line:
    wrong = {
        "missing": sum(stream.missing for stream in report.channels),
        "own drops": sum(group.kernel_drops for group in report.groups),
        "refused": sum(sum(group.refused.values()) + group.wrong_plane for group in report.groups),
    }
    volume = [
        f"{group.group} {rate(group.datagrams_per_s)}/s"
        + (f" {size(group.bytes_per_s)}B/s" if group.group != "text" else "")
        for group in report.groups
    ]
    return sums(wrong, volume, width)
