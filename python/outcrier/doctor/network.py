"""Where the groups go on this machine: route, IGMP, sockets of other programs. Facts in, findings out."""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterator, Sequence

import msgspec

from outcrier.doctor.finding import Finding


class Route(msgspec.Struct, frozen=True):
    """A line of /proc/net/route."""

    device: str
    destination: str
    prefix: int
    metric: int


class UdpSocket(msgspec.Struct, frozen=True):
    """A line of /proc/net/udp, and who holds it."""

    address: str
    port: int
    drops: int
    uid: int
    inode: int
    program: str = ""
    """Name of the program; empty where this user may not see it."""
    pid: int = 0
    publishes: bool = False
    """Whether it is a feeder's ear: its filter discards all but news, which the kernel counts as drops."""


class Multicast(msgspec.Struct, frozen=True):
    """How an interface takes part in multicast."""

    device: str
    igmp: str
    """Version as the kernel has it (`V3`); empty where /proc/net/igmp does not list the interface."""
    rp_filter: int
    """That of the interface or of all, the higher: 1 drops what the routes would not send back this way."""
    snooping_without_querier: str
    """Bridge that snoops on IGMP while nobody on it asks for memberships; empty = none."""


# What the kernel says. Pure: texts in, facts out; a line that is not understood is left out.


def routes(text: str) -> list[Route]:
    """Of /proc/net/route."""
    found = []
    for line in text.splitlines()[1:]:
        words = line.split()
        try:
            mask = _address(words[7])
            prefix = int(mask).bit_count()
            found.append(Route(words[0], str(_address(words[1])), prefix, int(words[6])))
        except (IndexError, ValueError):
            continue
    return found


def udp_sockets(text: str) -> list[UdpSocket]:
    """Of /proc/net/udp."""
    found = []
    for line in text.splitlines()[1:]:
        words = line.split()
        try:
            address, _, port = words[1].partition(":")
            found.append(
                UdpSocket(str(_address(address)), int(port, 16), int(words[12]), int(words[7]), int(words[9]))
            )
        except (IndexError, ValueError):
            continue
    return found


def igmp_version(text: str, device: str) -> str:
    """Of /proc/net/igmp."""
    for line in text.splitlines()[1:]:
        words = line.split()
        if line[:1].isdigit() and len(words) > 1 and words[1].rstrip(":") == device:
            return words[-1]
    return ""


def _address(text: str) -> ipaddress.IPv4Address:
    """The kernel prints the u32 of the network bytes in host order."""
    return ipaddress.IPv4Address(int(text, 16).to_bytes(4, sys.byteorder))


def route_of(group: str, all_routes: Sequence[Route]) -> Route | None:
    """The route that a program takes which does not name its interface."""
    address = ipaddress.IPv4Address(group)
    fitting = [
        route
        for route in all_routes
        if address in ipaddress.IPv4Network((route.destination, route.prefix), strict=False)
    ]
    return min(fitting, key=lambda route: (-route.prefix, route.metric), default=None)


# Findings.


def route_finding(group: str, device: str, all_routes: Sequence[Route]) -> Finding:
    """Where the group goes. Outcrier names the interface on every socket; other programs go by the routes."""
    route = route_of(group, all_routes)
    mend = f"sudo ip route add {group}/32 dev {device}"
    if route is None:
        text = (
            f"Outcrier sends and receives {group} by {device}, which it names; there is no route for others"
        )
        return Finding("route", "ok", text, f"only for programs that name no interface: {mend}")
    if route.device != device:
        text = (
            f"Outcrier sends and receives {group} by {device}, which it names; a program that does not"
            f" would use {route.device}"
        )
        return Finding("route", "ok", text, f"only for programs that name no interface: {mend}")
    return Finding("route", "ok", f"{group} goes by {device}")


def multicast_findings(at: Multicast, ttl: int) -> Iterator[Finding]:
    """Loopback, or IGMP with what stands in its way."""
    if at.device == "lo":
        yield Finding("igmp", "ok", f"loopback: no IGMP, frames stay on this host; ttl is {ttl}")
        return
    if not at.igmp:
        text = f"the kernel lists no multicast on {at.device}"
        yield Finding("igmp", "fail", text, f"sudo ip link set {at.device} multicast on")
    else:
        text = f"{at.device} speaks IGMP {at.igmp}"
        if ttl == 0:
            text += "; ttl is 0, so what is published here stays on this host"
        yield Finding("igmp", "ok", text)
    if at.rp_filter == 1:
        text = f"{at.device} drops frames of senders that the routes reach by another interface (rp_filter 1)"
        yield Finding("rp_filter", "warn", text, f"sudo sysctl -w net.ipv4.conf.{at.device}.rp_filter=2")
    if at.snooping_without_querier:
        bridge = at.snooping_without_querier
        text = f"bridge {bridge} snoops on IGMP and nobody asks: groups go silent after some minutes"
        yield Finding("igmp querier", "warn", text, f"sudo ip link set {bridge} type bridge mcast_querier 1")


def socket_findings(
    check: str, groups: Sequence[str], port: int, sockets: Sequence[UdpSocket]
) -> Iterator[Finding]:
    """Who else holds the port: bound to a group it takes that one, bound to ANY it takes all and unicast."""
    here = [each for each in sockets if each.port == port]
    show = f"ss -ulnp 'sport = :{port}'"
    for each in here:
        if each.address == "0.0.0.0":  # noqa: S104  # what the kernel prints
            text = (
                f"{_who(each)} is bound to every address of port {port}: it gets the frames of all groups,"
                " and Outcrier only shares the port if that program set SO_REUSEADDR"
            )
            yield Finding(check, "warn", text, f"bind it to its group, or move it: {show}")
        if each.drops and not each.publishes:
            text = f"the kernel dropped {each.drops:,} datagrams of {_who(each)} at {each.address}:{port}"
            yield Finding(
                check,
                "warn",
                text,
                "raise subscriber.rcvbuf_bytes, or let it do less: outcrier doctor shows the buffer",
            )
    bound = [each for each in here if each.address in groups]
    if not bound:
        yield Finding(check, "ok", f"nobody on this host listens to the groups of port {port}")
        return
    names = sorted({_who(each) for each in bound})
    yield Finding(check, "ok", f"{len(bound)} sockets bound to groups of port {port}, of {', '.join(names)}")


def _who(each: UdpSocket) -> str:
    if each.program:
        return f"{each.program} (pid {each.pid})"
    return f"a program of uid {each.uid}"
