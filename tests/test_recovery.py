"""Recovery over real sockets of this machine: a publisher, a network that loses by seed, and a Subscriber.

The rows of docs/reliability.md need root and namespaces (tests/net); this needs nothing.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from feed_bench import Bench, lines
from outcrier import Subscriber, _core
from sockets import INTERFACE, PATIENCE_S, Net, until
from workers import free_port

CaptureFinder = Callable[[str], Path]

CAPTURE = "binance_usdm/usdm_btcusdt_2022-08-11"
SYMBOL = "BTCUSDT@binance_usdm"
RCVBUF_BYTES = 8 << 20
_SLICE_NS = 20_000_000


class Feeder:
    """A feed on its own groups, with line B and a retransmit server, driven from the thread of the test."""

    def __init__(self, net: Net, *, keys: str = "", line_b: str = "") -> None:
        self.publisher = _core.Publisher.udp(
            interface=INTERFACE,
            group=net.group,
            snapshot_group=net.snapshot_group,
            group_b=line_b,
            port=net.port,
            ttl=0,
            keys=keys,
            retransmit=True,
        )
        self.bench = Bench("binance_usdm", publisher=self.publisher)

    def play(self, path: Path, first: int, last: int, pause: Callable[[], None]) -> None:
        """Lines `first` to `last` of a capture, ten at a time, with a pause behind each ten."""
        for number, line in enumerate(lines(path, most=last)):
            if number >= first:
                self.bench.take(line)
                if number % 10 == 0:
                    self.bench.feed.tick()
                    pause()

    def is_equal(self, sub: Subscriber) -> bool:
        """Whether the consumer's book is LIVE and that of the feed."""
        view = sub.book(SYMBOL)
        same = view.hash == self.bench.feed.book_hash(0) and view.instr_seq == self.bench.feed.instr_seq(0)
        return same and view.state == "LIVE"

    def settle(self, sub: Subscriber) -> None:
        """Heartbeats and snapshots go on until the consumer has the feed's book."""

        def settled() -> bool:
            self.bench.feed.tick()
            sub.pump(0.01)
            return self.is_equal(sub)

        until(settled, "the book is LIVE and equal")


@contextmanager
def relay(net: Net, to_port: int, groups: dict[str, str], **network: Any) -> Iterator[_core.Relay]:
    """Carries `groups` (by the names of lines) to another port through a network, in a thread."""
    made = _core.Relay(seed=7, rcvbuf_bytes=RCVBUF_BYTES, **network)
    for number, (name, group) in enumerate(groups.items()):
        made.add_line(
            name,
            number=number,
            group=group,
            interface=INTERFACE,
            port=net.port,
            to_group=group,
            to_interface=INTERFACE,
            to_port=to_port,
            ttl=0,
            spared=False,
        )
    end = threading.Event()

    def run() -> None:
        while not end.is_set():
            made.run(_SLICE_NS)

    thread = threading.Thread(target=run, name="relay")
    thread.start()
    try:
        yield made
    finally:
        end.set()
        thread.join()


def subscriber(net: Net, port: int, **options: Any) -> Subscriber:
    return Subscriber(
        symbols=[SYMBOL],
        accept={"replay"},
        interface=INTERFACE,
        group=net.group,
        snapshot_group=net.snapshot_group,
        port=port,
        timeout=PATIENCE_S,
        **options,
    )


def test_what_one_line_loses_is_sent_again(capture: CaptureFinder) -> None:
    net, port, path = Net.pick(), free_port(), capture(CAPTURE)
    groups = {"a": net.group, "snapshot": net.snapshot_group}
    with relay(net, port, groups, loss=_core.Relay.PPM // 10), subscriber(net, port) as sub:
        feeder = Feeder(net)
        feeder.play(path, 0, 400, lambda: sub.pump(0.002))
        feeder.settle(sub)
        before = sub.counters()
        feeder.play(path, 400, 1_600, lambda: sub.pump(0.002))
        feeder.settle(sub)
        counters = sub.counters()
        gaps = sub.gaps()
    missing = counters["missing"] - before["missing"]
    assert missing > 50, "a tenth of more than a thousand frames"
    assert counters["given_up"] == before["given_up"]
    assert counters["won_line_retransmit"] > 50
    assert counters["replies_need_cookie"] == 1, "one server, one cookie"
    assert {gap.repair for gap in gaps if gap.plane == "incremental"} <= {"retransmit", "late", "snapshot"}
    assert sum(gap.repair == "retransmit" for gap in gaps) > 30
    assert all(gap.cause == "network" for gap in gaps)


def test_line_b_has_what_line_a_lost_and_keys_prove_the_frames(
    capture: CaptureFinder, tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    keys.write_text("7: " + "5a" * 32 + "\n")
    keys.chmod(0o600)
    net, port, path = Net.pick(), free_port(), capture(CAPTURE)
    line_b = Net.pick().group
    groups = {"a": net.group, "b": line_b, "snapshot": net.snapshot_group}
    network = {"loss": _core.Relay.PPM // 10, "corrupt": _core.Relay.PPM // 50}
    options = {"group_b": line_b, "key_file": keys}
    with relay(net, port, groups, **network), subscriber(net, port, **options) as sub:
        feeder = Feeder(net, keys=keys.read_text(), line_b=line_b)
        feeder.play(path, 0, 1_200, lambda: sub.pump(0.002))
        feeder.settle(sub)
        counters = sub.counters()
    assert counters["won_line_b"] > 50
    assert counters["copies"] > 500, "most frames came twice"
    assert counters["refused_crc"] > 10
    assert counters["mac_missing"] == 0
    assert counters["mac_wrong"] < counters["refused_crc"] / 2, "only bits of the MAC itself are its to find"
    assert counters["replies"] > 0, "requests and replies are signed, or the server would be silent"
    assert counters["replies_bad_mac"] == 0


def test_a_frame_without_a_mac_of_ours_is_not_taken(capture: CaptureFinder, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("5a" * 32 + "\n")
    keys.chmod(0o600)
    net, path = Net.pick(), capture(CAPTURE)
    with subscriber(net, net.port, key_file=keys) as sub:
        Feeder(net).play(path, 0, 100, lambda: sub.pump(0.002))
        counters = sub.counters()
    assert counters["mac_missing"] > 50
    assert counters["frames"] == 0


def test_a_late_joiner_asks_for_an_image(capture: CaptureFinder) -> None:
    net, path = Net.pick(), capture(CAPTURE)
    feeder = Feeder(net)
    feeder.play(path, 0, 400, lambda: None)

    async def join() -> dict[str, int]:
        # The snapshot group is one that nobody speaks on: only the image can make the book whole.
        async with Subscriber(
            symbols=[SYMBOL], accept={"replay"}, interface=INTERFACE, group=net.group,
            snapshot_group=Net.pick().snapshot_group, port=net.port,
        ) as sub:  # fmt: skip
            for _ in range(int(PATIENCE_S * 200)):
                feeder.bench.feed.tick()
                await asyncio.sleep(0.005)
                if feeder.is_equal(sub):
                    break
            assert feeder.is_equal(sub)
            return sub.counters()

    counters = asyncio.run(join())
    assert (counters["images_wanted"], counters["images"], counters["images_cut"]) == (1, 1, 0)
    assert counters["image_frames"] > 1


def test_without_repair_nobody_is_asked(capture: CaptureFinder) -> None:
    net, port, path = Net.pick(), free_port(), capture(CAPTURE)
    groups = {"a": net.group, "snapshot": net.snapshot_group}
    with relay(net, port, groups, loss=_core.Relay.PPM // 20), subscriber(net, port, repair=False) as sub:
        feeder = Feeder(net)
        feeder.play(path, 0, 600, lambda: sub.pump(0.002))
        feeder.settle(sub)
        counters = sub.counters()
    assert counters["requests"] == counters["images_wanted"] == 0
    assert counters["given_up"] > 0
