"""Versions, kernel, interface, buffers and clock of this machine."""

from __future__ import annotations

import errno
import os
import platform
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import msgspec
import psutil  # type: ignore[import-untyped]

from outcrier import _core
from outcrier.doctor.finding import Finding
from outcrier.doctor.publishers import CLOCK_ERROR_NS_MAX
from outcrier.silence import RCVBUF_BYTES_MIN

PROBE_S: Final = 1.0
"""A probe that goes nowhere but to this host takes some microseconds."""

CHRONY_S: Final = 2.0
"""chronyd answers from memory."""

PYTHON_MIN: Final = (3, 11)
KERNEL_MIN: Final = (5, 0)
"""UDP_GRO came with Linux 5.0, UDP_SEGMENT with 4.18."""

TIME_DAEMONS: Final = frozenset(
    {"chronyd", "ntpd", "ntpsec", "openntpd", "systemd-timesyncd", "systemd-timesyn", "phc2sys", "ptp4l"}
)
"""Programs that keep the clock; the kernel cuts names to 15 characters."""

UDP_SEGMENT: Final = 103
UDP_GRO: Final = 104
_IP_MULTICAST_ALL: Final = 49
_SO_RCVBUFFORCE: Final = 33
_RMEM_MAX: Final = Path("/proc/sys/net/core/rmem_max")


# Versions and configuration.


def versions() -> Iterator[Finding]:
    python = platform.python_version()
    if sys.version_info < PYTHON_MIN:
        yield Finding("python", "fail", python, "install Python 3.11 or newer")
    else:
        yield Finding("python", "ok", f"{python}, {platform.machine()}")
    try:
        installed = version("outcrier")
    except PackageNotFoundError:
        yield Finding(
            "outcrier",
            "warn",
            f"native core {_core.__version__}, not installed as a package",
            "run make setup",
        )
        return
    if installed != _core.__version__:
        text = f"package {installed}, native core {_core.__version__}"
        yield Finding("outcrier", "fail", text, "parts of two versions are installed: run make setup")
    else:
        yield Finding("outcrier", "ok", f"{installed}, native core of the same version")


def configuration(error: str | None) -> Finding:
    if error is not None:
        return Finding("configuration", "fail", error, "mend it; what follows looks at the defaults")
    return Finding("configuration", "ok", "it can be used")


def kernel() -> Finding:
    release = platform.release()
    numbers = tuple(int(part) for part in release.split("-")[0].split(".")[:2] if part.isdecimal())
    if numbers < KERNEL_MIN:
        return Finding(
            "kernel", "warn", f"Linux {release} has no UDP_GRO", "Linux 5.0 or newer receives faster"
        )
    return Finding("kernel", "ok", f"Linux {release}")


# Interface and multicast.


def interface_finding(address: str, name: str | None, *, key: str = "interface") -> Finding:
    """`name`: of the interface that has the address; None if there is none."""
    if name is None:
        known = sorted(
            entry.address
            for addresses in psutil.net_if_addrs().values()
            for entry in addresses
            if entry.family == socket.AF_INET
        )
        text = f"no interface has the address {address}; there are {', '.join(known) or 'none'}"
        return Finding("interface", "fail", text, f"set multicast.crypto.{key} to one of them")
    stats = psutil.net_if_stats().get(name)
    if stats is not None and not stats.isup:
        return Finding("interface", "fail", f"{name} is down", f"sudo ip link set {name} up")
    if stats is not None and name != "lo" and "multicast" not in stats.flags.split(","):
        do = f"sudo ip link set {name} multicast on"
        return Finding("interface", "fail", f"{name} carries no multicast", do)
    return Finding("interface", "ok", f"{name} has {address} and is up")


def multicast_probe(interface: str, name: str, plane: str, group: str) -> Finding:
    """Sends a probe to the group, on a port of its own, with TTL 0, and hears it."""
    check = f"multicast {plane}"
    probe = b"outcrier doctor " + os.urandom(8)
    try:
        with (
            joined(group, interface, 0) as receiver,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
        ):
            receiver.settimeout(PROBE_S)
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(interface))
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 0)
            sender.sendto(probe, (group, receiver.getsockname()[1]))
            while receiver.recv(2_048) != probe:
                pass
    except TimeoutError:
        text = f"a probe sent to {group} by {name} was not heard on this host"
        return Finding(
            check, "fail", text, "look at the firewall: sudo nft list ruleset; sudo iptables -L -v"
        )
    except OSError as error:
        do = f"sudo ip route add 224.0.0.0/4 dev {name}" if error.errno == errno.ENETUNREACH else ""
        do = do or "look at the firewall and the interface"
        return Finding(check, "fail", f"{group} by {name}: {error.strerror or error}", do)
    return Finding(check, "ok", f"a probe to {group} by {name} was heard")


def joined(group: str, interface: str, port: int) -> socket.socket:
    joined = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        joined.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        joined.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
        joined.bind((group, port))
        member = struct.pack("4s4s", socket.inet_aton(group), socket.inet_aton(interface))
        joined.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
    except BaseException:
        joined.close()
        raise
    return joined


# Sockets.


class Buffer(msgspec.Struct, frozen=True):
    """What the kernel gives a subscriber."""

    asked: int
    """As configured; the kernel doubles it."""
    effective: int
    """As read back."""
    is_forced: bool
    """Whether SO_RCVBUFFORCE was allowed, which no limit holds for."""
    rmem_max: int | None
    """The limit for others; None where it cannot be read."""


def look_at_buffer(asked: int) -> Buffer:
    """Asks for it as a subscriber does."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        is_forced = True
        try:
            probe.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, asked)
        except PermissionError:
            is_forced = False
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, asked)
        effective = probe.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    return Buffer(asked, effective, is_forced, number_in(_RMEM_MAX))


def buffer_finding(at: Buffer) -> Finding:
    """The receive buffer that a subscriber gets, and what others get who lack the privilege."""
    sysctl = f"sudo sysctl -w net.core.rmem_max={at.asked}"
    how = "SO_RCVBUFFORCE (CAP_NET_ADMIN)" if at.is_forced else "SO_RCVBUF, without CAP_NET_ADMIN"
    limit = (
        "net.core.rmem_max cannot be read here"
        if at.rmem_max is None
        else f"net.core.rmem_max is {at.rmem_max:,}"
    )
    text = f"{at.effective:,} bytes in effect of {2 * at.asked:,} wanted by {how}; {limit}"
    if at.effective < RCVBUF_BYTES_MIN:
        return Finding("receive buffer", "warn", f"{text}: bursts will be lost", sysctl)
    if at.effective < 2 * at.asked:
        return Finding("receive buffer", "warn", f"{text}: large bursts may be lost", sysctl)
    if at.rmem_max is not None and at.rmem_max < at.asked:
        programs = f"{text}: programs without it get {2 * at.rmem_max:,}"
        return Finding("receive buffer", "ok", programs, sysctl)
    return Finding("receive buffer", "ok", text)


def number_in(path: Path) -> int | None:
    """The number that a file of the kernel holds; None where it cannot be read."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def option_finding(name: str, option: int, value: int, without: str) -> Finding:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.setsockopt(socket.IPPROTO_UDP, option, value)
        except OSError as error:
            text = f"the kernel does not have it ({error.strerror}): {without}"
            return Finding(name, "warn", text, "a newer kernel is faster")
    return Finding(name, "ok", "the kernel has it")


# The clock.


class Chrony(msgspec.Struct, frozen=True):
    """What chronyd says of itself."""

    leap: str
    """`Normal`, or `Not synchronised`."""
    source: str
    """Server that is followed."""
    error_s: float
    """Root dispersion and half the root delay: the most that it may be off."""


def chrony_of(text: str) -> Chrony | None:
    """Of `chronyc -n tracking`; None where it does not say."""
    values = {
        key.strip(): value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())
    }
    try:
        error_s = float(values["Root dispersion"].split()[0]) + float(values["Root delay"].split()[0]) / 2
        return Chrony(values["Leap status"], values["Reference ID"], error_s)
    except (KeyError, ValueError, IndexError):
        return None


def look_at_chrony() -> Chrony | None:
    """Asks chronyd; None where it does not run, or does not answer."""
    program = shutil.which("chronyc")
    if program is None:
        return None
    try:
        told = subprocess.run(  # noqa: S603  # a path of the system, no input
            [program, "-n", "tracking"], capture_output=True, text=True, check=False, timeout=CHRONY_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return chrony_of(told.stdout) if told.returncode == 0 else None


def time_daemons() -> list[str]:
    """Names of the programs here that keep the clock."""
    return sorted({each.info["name"] for each in psutil.process_iter(["name"])} & TIME_DAEMONS)


def clock_finding(system: dict[str, Any], daemons: list[str], chrony: Chrony | None) -> Finding:
    """`system`: what the kernel says (adjtimex)."""
    keeper = f"kept by {', '.join(daemons)}" if daemons else "no time daemon runs here"
    if chrony is not None:
        keeper += f", which follows {chrony.source} within {chrony.error_s * 1e3:.3f} ms ({chrony.leap})"
    if not system["synchronised"]:
        # In a container the clock is the host's, and the host's daemon is not seen.
        do = (
            f"sudo systemctl restart {daemons[0]}"
            if daemons
            else "sudo apt-get install chrony, on the host if this is a container"
        )
        if chrony is not None:
            do = "chronyc sources -v shows whether a server is reached"
        return Finding("clock", "warn", f"not synchronised, error unknown; {keeper}", do)
    error_ns = system["error_ns"]
    shown = "unknown" if error_ns is None else f"{error_ns / 1e6:.3f} ms"
    offset = f"correction under way {system['offset_ns'] / 1e6:.3f} ms"
    text = f"synchronised, error at most {shown}, {offset}; {keeper}"
    if error_ns is None or error_ns > CLOCK_ERROR_NS_MAX:
        told = f"{text}: above 1 ms, frames carry CLOCK_BAD"
        return Finding("clock", "warn", told, "chronyc tracking; a nearer time server")
    return Finding("clock", "ok", text)
