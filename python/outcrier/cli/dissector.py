"""`outcrier dissector`: the wire for Wireshark."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from outcrier.dissector import dissector
from outcrier.errors import ConfigurationError


@click.command("dissector", short_help="Write a Wireshark dissector of the wire.")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="File to write.  [default: standard output]",
)
def command(out: Path | None) -> None:
    """Write a Wireshark dissector (Lua) made from the table of the codec.

    It knows every field of every message, those inside PACKs, flags and numbers by their names, CRC, MAC,
    padding and text lines; frames over UDP on any port, streams on their ports.

    \b
    outcrier dissector -o outcrier.lua
    tshark -X lua_script:outcrier.lua -i lo -f 'udp port 9001'
    """
    script = dissector()
    if out is None:
        sys.stdout.write(script)
        return
    try:
        out.write_text(script, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{out}: {error.strerror or error}") from error
