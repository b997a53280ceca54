"""Two hosts on one machine: network namespaces with two cables between them, and rules that harm the cables.

    publisher 10.77.1.1 ──── cable a ──── 10.77.1.2 consumer
              10.77.2.1 ──── cable b ──── 10.77.2.2

Line A, the snapshot plane, repair, text and all unicast go over cable a, line B over cable b. Names carry the
process that made them: what a killed run left behind is removed by the next one.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

PREFIX: Final = "octest"
TABLE: Final = "octest"
PORT: Final = 9_001
RELAY_PORT: Final = 9_101
GROUP_A: Final = "239.192.90.1"
GROUP_B: Final = "239.192.90.2"
CABLES: Final = ("a", "b")

_SECONDS_MAX: Final = 20
_NEEDED: Final = {"ip": "iproute2", "nft": "nftables", "setpriv": "util-linux"}
_PATH: Final = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


class MissingError(Exception):
    """What this machine lacks."""


def call(*arguments: str, text: str | None = None) -> str:
    """Runs a command to its end; its output. Raises CalledProcessError that says what it complained about."""
    done = subprocess.run(
        arguments,
        input=text,
        capture_output=True,
        text=True,
        timeout=_SECONDS_MAX,
        check=False,
        env={**os.environ, "PATH": _PATH},
    )
    if done.returncode:
        error = subprocess.CalledProcessError(done.returncode, arguments, done.stdout, done.stderr)
        error.add_note(done.stderr.strip())
        raise error
    return done.stdout


@dataclass(frozen=True)
class Namespace:
    """One host."""

    name: str

    def command(self, *arguments: str) -> list[str]:
        """What runs a command in here; the process dies with the one that started it."""
        return ["setpriv", "--pdeathsig", "KILL", "ip", "netns", "exec", self.name, *arguments]

    def call(self, *arguments: str, text: str | None = None) -> str:
        """Runs a command in here to its end."""
        return call("ip", "netns", "exec", self.name, *arguments, text=text)

    def nft(self, rules: str) -> None:
        """Applies rules."""
        self.call("nft", "-f", "-", text=rules)


@dataclass
class Lab:
    """Both hosts and their cables."""

    publisher: Namespace
    consumer: Namespace
    cut: set[str] = field(default_factory=set)

    def environment(self, role: str, *, port: int = PORT, line_b: bool = True) -> dict[str, str]:
        """The configuration of a program on a host: `publisher` or `consumer`."""
        last = {"publisher": 1, "consumer": 2}[role]
        values = {
            "INTERFACE": f"10.77.1.{last}",
            "INTERFACE_B": f"10.77.2.{last}",
            "GROUP_A": GROUP_A,
            "GROUP_B": GROUP_B if line_b else "",
            "PORT": str(port),
            "TTL": "1",
        }
        return {f"OUTCRIER__MULTICAST__CRYPTO__{key}": value for key, value in values.items()}

    def harm(self, cable: str, rules: Sequence[str]) -> None:
        """What happens to what comes out of a cable at the consumer, in the words of nft."""
        chain = f"in_{cable}"
        body = "\n".join(f"add rule netdev {TABLE} {chain} {rule}" for rule in rules)
        self.consumer.nft(
            f"{_chain(chain, 'ingress', f'c{cable}')}flush chain netdev {TABLE} {chain}\n{body}\n"
        )

    def double(self, cable: str, per_mille: int) -> None:
        """So many of a thousand datagrams of a cable leave the publisher twice."""
        chain = f"out_{cable}"
        self.publisher.nft(
            f"{_chain(chain, 'egress', f'p{cable}')}"
            f"add rule netdev {TABLE} {chain} ip daddr 224.0.0.0/4 numgen random mod 1000 < {per_mille}"
            f" counter dup to p{cable}\n"
        )

    def heal(self) -> None:
        """Takes every rule away and plugs the cables in."""
        for host in (self.consumer, self.publisher):
            host.nft(f"table netdev {TABLE}\ndelete table netdev {TABLE}\n")
        for cable in list(self.cut):
            self.plug(cable)

    def hits(self, host: Namespace | None = None) -> dict[str, int]:
        """Packets that met each counting rule, by chain."""
        listed = (host or self.consumer).call("nft", "list", "table", "netdev", TABLE)
        found: dict[str, int] = {}
        chain = ""
        for line in listed.splitlines():
            if named := re.search(r"chain (\w+)", line):
                chain = named[1]
            elif counted := re.search(r"counter packets (\d+)", line):
                found[chain] = found.get(chain, 0) + int(counted[1])
        return found

    def unplug(self, cable: str) -> None:
        """Cuts a cable."""
        self.cut.add(cable)
        self.publisher.call("ip", "link", "set", f"p{cable}", "down")

    def plug(self, cable: str) -> None:
        """Mends it."""
        self.cut.discard(cable)
        self.publisher.call("ip", "link", "set", f"p{cable}", "up")
        _route(self.publisher, f"p{cable}", cable)


def _chain(chain: str, hook: str, device: str) -> str:
    """The words that make an empty chain, or leave the one that is there."""
    kind = f"{{ type filter hook {hook} device {device} priority 0 ; }}"
    return f"add table netdev {TABLE}\nadd chain netdev {TABLE} {chain} {kind}\n"


def check() -> None:
    """Raises MissingError that says what is not there."""
    if not sys.platform.startswith("linux"):
        raise MissingError("network namespaces need Linux")
    if os.geteuid() != 0:
        raise MissingError("network namespaces need root")
    for program, package in _NEEDED.items():
        if shutil.which(program, path=_PATH) is None:
            raise MissingError(f"{program} is missing: apt-get install {package}")
    name = f"{PREFIX}-{os.getpid()}-try"
    try:
        call("ip", "netns", "add", name)
        try:
            rule = f"add rule netdev {TABLE} c numgen random mod 1000 < 1 counter drop\n"
            Namespace(name).nft(_chain("c", "ingress", "lo") + rule)
        finally:
            call("ip", "netns", "del", name)
    except subprocess.CalledProcessError as error:
        raise MissingError(f"{' '.join(error.cmd)} is refused: {error.stderr.strip()}") from error


def remove_leftovers() -> None:
    """Removes what runs left behind that were killed: namespaces whose maker is gone."""
    for line in call("ip", "netns", "list").splitlines():
        named = re.match(rf"{PREFIX}-(\d+)-\w+", line)
        if named and not Path(f"/proc/{named[1]}").exists():
            call("ip", "netns", "del", named[0])


@contextmanager
def lab(number: int) -> Iterator[Lab]:
    """Two hosts and their cables, removed whatever happens."""
    hosts = [Namespace(f"{PREFIX}-{os.getpid()}-{role}{number}") for role in "pc"]
    made: list[Namespace] = []
    try:
        for host in hosts:
            call("ip", "netns", "add", host.name)
            made.append(host)
            host.call("ip", "link", "set", "lo", "up")
        for cable in CABLES:
            _lay(hosts[0], hosts[1], cable)
        yield Lab(hosts[0], hosts[1])
    finally:
        for host in made:
            call("ip", "netns", "del", host.name)


def _lay(publisher: Namespace, consumer: Namespace, cable: str) -> None:
    ends = (f"p{cable}", f"c{cable}")
    publisher.call("ip", "link", "add", ends[0], "type", "veth", "peer", ends[1], "netns", consumer.name)
    for host, device, last in ((publisher, ends[0], 1), (consumer, ends[1], 2)):
        # A batch is cut before the cable, as a network card does: rules see datagrams, not batches.
        host.call("ip", "link", "set", device, "gso_max_segs", "1")
        host.call("ip", "address", "add", f"10.77.{CABLES.index(cable) + 1}.{last}/24", "dev", device)
        host.call("ip", "link", "set", device, "up")
        _route(host, device, cable)


def _route(host: Namespace, device: str, cable: str) -> None:
    metric = CABLES.index(cable) + 1
    host.call("ip", "route", "replace", "224.0.0.0/4", "dev", device, "metric", str(metric))


def merged(*environments: Mapping[str, str]) -> dict[str, str]:
    """The environment of a program: no configuration but what is given."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("OUTCRIER__", "LIMITED"))}
    return {key: value for each in (kept, {"PATH": _PATH}, *environments) for key, value in each.items()}
