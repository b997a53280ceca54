"""`outcrier pcap`: logs to captures that Wireshark reads, and back."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import click
import msgspec

from outcrier.cli.output import (
    Addresses,
    address_options,
    clean,
    config_option,
    feed_option,
    json_line,
    read_config,
    with_multicast,
)
from outcrier.errors import CaptureError
from outcrier.pcap import Addresses as Wire
from outcrier.pcap import export, import_


@click.group("pcap", short_help="Turn a log into a capture for Wireshark, and back.")
def command() -> None:
    """Turn a log of published frames into a pcapng file with nanosecond stamps, and back."""


@command.command("export", short_help="Write a log as a pcapng file.")
@click.argument("log", metavar="LOGDIR", type=click.Path(path_type=Path))
@click.argument("out", metavar="OUT.pcapng", type=click.Path(path_type=Path))
@feed_option
@config_option
@address_options
@click.option("--json", "as_json", is_flag=True, help="What was written as one JSON object.")
def export_command(  # noqa: PLR0917  # click calls by name
    log: Path,
    out: Path,
    feed: str,
    config: Path | None,
    addresses: Addresses,
    as_json: bool,  # click calls by name
) -> int:
    """Write the log in LOGDIR as OUT.pcapng: each frame as it was on line A, holes as comments.

    Group, port and interface are those of the configuration or of the options. A file that exists is not
    written over. Ends with code 3 if a damaged segment was left out.
    """
    family = getattr(with_multicast(read_config(config), feed, addresses).multicast, feed)
    wire = Wire(IPv4Address(family.interface), IPv4Address(family.group_a), family.port, max(family.ttl, 1))
    told = export(log, out, wire)
    if as_json:
        refused = [{"path": str(path), "offset": offset} for path, offset in told.refused]
        click.echo(json_line({"frames": told.frames, "holes": told.holes, "refused": refused}))
    else:
        click.echo(f"{clean(str(out))}: {told.frames:,} frames, {told.holes:,} holes")
        for path, offset in told.refused:
            click.echo(f"{clean(str(path))}: DAMAGED at offset {offset:,}, left out")
    return CaptureError.exit_code if told.refused else 0


@command.command("import", short_help="Write the frames of a pcapng file into a log.")
@click.argument("capture", metavar="IN.pcapng", type=click.Path(path_type=Path))
@click.argument("log", metavar="LOGDIR", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="What was taken as one JSON object.")
def import_command(capture: Path, log: Path, as_json: bool) -> None:  # click calls by name
    """Write the frames of IN.pcapng into the log in LOGDIR.

    Any capture of Ethernet packets will do, one that `export` wrote or one of an interface: padding and
    copies (line B, frames sent again) are left out, missing numbers become holes, and what is no
    frame is counted.
    """
    told = import_(capture, log)
    if as_json:
        values: dict[str, Any] = vars(told)
        click.echo(json_line(msgspec.to_builtins(values)))
        return
    left = [f"{told.copies:,} copies", f"{told.other:,} other packets"]
    left += [f"{count:,} refused ({clean(why)})" for why, count in sorted(told.refused.items())]
    click.echo(
        f"{clean(str(log))}: {told.frames:,} frames, {told.holes:,} holes; left out: {', '.join(left)}"
    )
