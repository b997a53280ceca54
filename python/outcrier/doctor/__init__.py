"""Whether this machine can run Outcrier, and what to do where it cannot: one finding a thing looked at.

Looking changes nothing: sockets are opened and closed, a probe goes to another port of the configured groups,
a request for nothing to the retransmit server that a publisher tells of. `look` looks; `network` and
`publishers` make findings of what was seen, without looking; `machine` has the rest.
"""

from __future__ import annotations

from collections.abc import Iterator

from outcrier import _core
from outcrier.config import FAMILIES, Config, MulticastConfig, SubscriberConfig
from outcrier.doctor import look, machine, network, publishers
from outcrier.doctor.finding import Finding
from outcrier.errors import ConfigurationError, NetworkError
from outcrier.reception import make_receiver, read_keys
from outcrier.silence import interface_name

__all__ = ["Finding", "examine"]


def examine(config: Config, config_error: str | None) -> Iterator[Finding]:
    """Every finding, in order. `config_error`: why the configuration cannot be used; then `config` is what
    stands in for it.
    """
    yield from machine.versions()
    yield machine.configuration(config_error)
    yield machine.kernel()
    keys, wrong = _keys(config.subscriber)
    if wrong:
        yield Finding("keys", "fail", wrong, "mend subscriber.key_file or subscriber.manifest_key")
    at = config.multicast.crypto
    name = interface_name(at.interface)
    yield machine.interface_finding(at.interface, name)
    if name is not None:
        yield from _groups(at, name)
        for family in FAMILIES:
            yield from _family(family, getattr(config.multicast, family), keys)
    yield machine.buffer_finding(machine.look_at_buffer(config.subscriber.rcvbuf_bytes))
    yield machine.option_finding("UDP_SEGMENT", machine.UDP_SEGMENT, 1400, "batches leave frame by frame")
    yield machine.option_finding("UDP_GRO", machine.UDP_GRO, 1, "every datagram is read alone")
    daemons, chrony = machine.time_daemons(), machine.look_at_chrony()
    yield machine.clock_finding(_core.system_clock(), daemons, chrony)


def _keys(consumer: SubscriberConfig) -> tuple[str, str]:
    """Text of the key file, and what is wrong with the keys of a consumer."""
    try:
        keys = read_keys(consumer.key_file)
        make_receiver(repair=False, keys=keys, manifest_key=consumer.manifest_key)
    except ConfigurationError as error:
        return "", str(error)
    return keys, ""


def _groups(at: MulticastConfig, name: str) -> Iterator[Finding]:
    """Interface, route and IGMP of the groups, and whether they carry anything."""
    yield network.route_finding(at.group_a, name, look.routes())
    yield from network.multicast_findings(look.multicast(name), at.ttl)
    yield machine.multicast_probe(at.interface, name, "A", at.group_a)
    if at.group_b:
        interface_b = at.interface_b or at.interface
        name_b = interface_name(interface_b)
        if name_b is None:
            yield machine.interface_finding(interface_b, None, key="interface_b")
        else:
            yield machine.multicast_probe(interface_b, name_b, "B", at.group_b)
    yield machine.multicast_probe(at.interface, name, "snapshot", at.group_snapshot)


def _family(family: str, at: MulticastConfig, keys: str) -> Iterator[Finding]:
    """Who listens and who publishes at the addresses of one family."""
    groups = tuple(filter(None, (at.group_a, at.group_b, at.group_snapshot, at.group_repair, at.group_text)))
    # Before the doctor's own sockets are there.
    yield from network.socket_findings(f"sockets {family}", groups, at.port, look.udp_sockets(at.port))
    try:
        report = look.listen(family, at)
    except NetworkError as error:
        yield publishers.closed_finding(family, at, str(error))
        return
    yield from publishers.port_findings(family, at, report)
    yield from publishers.line_findings(family, at, report)
    yield from publishers.retransmit_findings(family, report, look.probes(report, keys))
    yield from publishers.clock_findings(family, report)
