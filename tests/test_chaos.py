"""`outcrier chaos`: what goes in comes out at the other port, as the options say."""

from __future__ import annotations

import itertools
import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from outcrier.cli.chaos import LINES, command, lines_of
from outcrier.config import MulticastConfig
from sockets import Child, Net, Witness, until
from workers import free_port

CaptureFinder = Callable[[str], Path]

USDM = "binance_usdm/usdm_btcusdt_2022-08-11"
CONFIGURATION, NETWORK = 2, 4
"""Exit codes, as `outcrier --help` tells them."""

pytestmark = pytest.mark.timeout(100)


@pytest.fixture
def net() -> Net:
    return Net.pick()


@contextmanager
def relay(folder: Path, net: Net, to: Net, *options: str) -> Iterator[Child]:
    with Child(folder, "chaos", *options, "--to-port", str(to.port), "--json", *net.options()) as child:
        # The first report: the sockets are open.
        until(lambda: child.out != "" or not child.running, "a report")
        assert child.running, child.err
        yield child


def reports(child: Child) -> list[dict[str, Any]]:
    return [json.loads(line) for line in child.out.splitlines()]


def replayed(folder: Path, path: Path, net: Net, witness: Witness) -> dict[str, Any]:
    """What a replay says of itself when all was sent."""
    with Child(
        folder, "replay", path, "--speed", "max", "--rate", "20000", "--json", *net.options()
    ) as child:
        assert child.end() == 0, child.err
        summary: dict[str, Any] = json.loads(child.out)
    return summary


def of_plane(witness: Witness, plane: int) -> list[bytes]:
    return [data for number, data in witness.datagrams if number == plane]


def test_without_options_every_datagram_arrives_as_it_was(
    net: Net, capture: CaptureFinder, tmp_path: Path
) -> None:
    to = replace(net, port=free_port())
    with relay(tmp_path, net, to) as child, Witness(net) as before, Witness(to) as after:
        summary = replayed(tmp_path, capture(USDM), net, before)
        sent = sum(venue["counters"]["frames"] for venue in summary["venues"])
        until(lambda: len(after.datagrams) >= len(before.datagrams), "everything relayed")
        child.signal(signal.SIGINT)
        assert child.end() == 0, child.err
    for plane in (0, 1):
        came, went = (
            [data for number, data in seen.datagrams if number == plane] for seen in (before, after)
        )
        assert went == came
    last = reports(child)[-1]
    assert last["lines"]["a"]["seen"] == last["lines"]["a"]["sent"] > sent > 1_000
    assert last["lines"]["snapshot"]["seen"] > 0
    # A group of line A that is given alone stands alone.
    assert list(last["lines"]) == ["a", "snapshot", "text"]
    assert last["waiting"] == 0


def test_what_is_counted_is_what_happened(net: Net, capture: CaptureFinder, tmp_path: Path) -> None:
    to = replace(net, port=free_port())
    harm = ["--loss", "5%", "--burst", "50/1000", "--duplicate", "1%", "--corrupt", "1%"]
    time = ["--reorder", "2%", "--reorder-by", "5ms", "--delay", "1ms", "--jitter", "1ms"]
    with (
        relay(tmp_path, net, to, *harm, *time, "--seed", "7") as child,
        Witness(net) as before,
        Witness(to) as after,
    ):
        replayed(tmp_path, capture(USDM), net, before)
        until(lambda: reports(child)[-1]["waiting"] == 0, "everything that was delayed")
        child.signal(signal.SIGTERM)
        assert child.end() == 0, child.err
        last = reports(child)[-1]
        sent = sum(last["lines"][name]["sent"] for name in ("a", "snapshot"))
        until(lambda: len(after.datagrams) >= sent, "all of it")
    assert last["seed"] == 7
    for plane, name in ((0, "a"), (1, "snapshot")):
        counts = last["lines"][name]
        came, went = (of_plane(seen, plane) for seen in (before, after))
        assert (len(came), len(went)) == (counts["seen"], counts["sent"])
        lost = counts["lost"] + counts["burst_lost"]
        assert len(went) == len(came) - lost + counts["duplicated"]
        known = set(came)
        assert sum(data not in known for data in went) == counts["corrupted"]
        assert counts["burst_lost"] // 50 >= len(came) // 1_000
        order = {data: at for at, data in enumerate(came)}
        places = [order[data] for data in went if data in order]
        overtaken = sum(later < earlier for earlier, later in itertools.pairwise(places))
        assert overtaken <= counts["reordered"]
        if name == "a":
            assert overtaken > 0
    counts = last["lines"]["a"]
    assert all(counts[what] > 0 for what in ("lost", "duplicated", "corrupted", "reordered"))


def test_lines_that_are_not_named_are_spared(net: Net, capture: CaptureFinder, tmp_path: Path) -> None:
    to = replace(net, port=free_port())
    with relay(tmp_path, net, to, "--loss", "100%", "--lines", "a,text") as child, Witness(net) as before:
        replayed(tmp_path, capture(USDM), net, before)
        child.signal(signal.SIGINT)
        assert child.end() == 0, child.err
    lines = reports(child)[-1]["lines"]
    assert lines["a"]["lost"] == lines["a"]["seen"] > 0
    assert lines["snapshot"]["sent"] == lines["snapshot"]["seen"] > 0


def test_it_ends_after_its_time_and_says_that_nothing_came(net: Net, tmp_path: Path) -> None:
    options = ["--seed", "3", "--for", "50ms", "--to-port", str(free_port())]
    with Child(tmp_path, "chaos", *options, **net.environment()) as child:
        assert child.end() == NETWORK
    assert f"seed 3; a, b, snapshot, repair, text of port {net.port}" in child.out
    assert f"nothing was heard on port {net.port} of interface 127.0.0.1" in child.err


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--to-port", "9001", "--port", "9001"], CONFIGURATION, "cannot send to where it listens"),
        (["--port", "65500"], CONFIGURATION, "port 65600 does not exist: name one by --to-port"),
        (["--burst", "11/10"], CONFIGURATION, "burst 11/10: "),
        (["--reorder", "1%", "--reorder-by", "0ms"], CONFIGURATION, "reorder: what is held back for 0 s"),
        (["--delay", "11s"], CONFIGURATION, "delay_ns: a delay is at most 10 s"),
        (
            ["--to-interface", "198.51.100.7"],
            NETWORK,
            "no interface of this host has the address 198.51.100.7",
        ),
    ],
)
def test_what_cannot_be_is_said_in_a_line(tmp_path: Path, options: list[str], code: int, words: str) -> None:
    with Child(tmp_path, "chaos", *options) as child:
        assert child.end() == code, child.out + child.err
    assert words in child.err
    assert len(child.err.splitlines()) == 1, child.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--loss", "5"], "'5' is no share: 5% or 0.01%"),
        (["--loss", "100.1%"], "is no share"),
        (["--loss", "0.00001%"], "in steps of 0.0001%"),
        (["--delay", "1"], "'1' is no time: a number and one of ns, us, ms, s"),
        (["--burst", "50"], "'50' is no burst: 50/1000 loses 50 in a row of each 1000"),
        (["--lines", "a,c"], "'c' is no line: there are a, b, snapshot, repair, text"),
    ],
)
def test_a_value_that_is_none_is_explained(options: list[str], words: str) -> None:
    result = CliRunner().invoke(command, options)
    assert result.exit_code == CONFIGURATION
    assert words in result.output


def test_lines_follow_the_configuration() -> None:
    at = MulticastConfig(interface="10.0.0.1", interface_b="10.0.1.1", group_text="239.1.1.9", ttl=1)
    lines = lines_of(at, None, 9_101)
    assert list(lines) == list(LINES)
    assert (lines["b"]["interface"], lines["b"]["to_interface"]) == ("10.0.1.1", "10.0.1.1")
    assert lines["text"] == {
        "group": "239.1.1.9",
        "interface": "10.0.0.1",
        "port": 9_001,
        "to_group": "239.1.1.9",
        "to_interface": "10.0.0.1",
        "to_port": 9_101,
        "ttl": 1,
        "sources": (),
        "reuse_port": False,
    }
    assert {line["to_interface"] for line in lines_of(at, "127.0.0.1", 9_101).values()} == {"127.0.0.1"}
    alone = MulticastConfig(group_b="")
    assert list(lines_of(alone, None, 9_101)) == ["a", "snapshot", "repair", "text"]
