"""`outcrier doctor`: whether this machine can run Outcrier, and what to do."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from outcrier.cli.output import (
    Addresses,
    address_options,
    clean,
    config_option,
    is_terminal,
    json_line,
    read_config,
    with_multicast,
)
from outcrier.config import Config
from outcrier.doctor import Finding, examine
from outcrier.errors import ConfigurationError

_EXIT_FAILED = 4
_STYLES = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command("doctor", short_help="Look whether this machine can run Outcrier.")
@config_option
@address_options
@click.option("--json", "as_json", is_flag=True, help="The findings as one JSON object.")
def command(config: Path | None, addresses: Addresses, as_json: bool) -> int:  # click calls by name
    """Look at versions, configuration, interface, route, multicast, buffers, kernel and clock; at who else
    holds the port, who publishes there, whether both lines are heard and the retransmit server answers.

    A line each: ok, warn or fail, what was found, what to do. Ends with code 4 if one of them is a fail. It
    may run beside a feed.
    """
    settings, error = Config(), None
    try:
        settings = read_config(config)
    except ConfigurationError as wrong:
        error = str(wrong)
    found: list[Finding] = []
    for finding in examine(with_multicast(settings, "crypto", addresses), error):
        found.append(finding)
        if not as_json:
            sys.stdout.write(_line(finding) + "\n")
            sys.stdout.flush()
    failed = any(finding.level == "fail" for finding in found)
    if as_json:
        click.echo(json_line({"ok": not failed, "findings": found}))
    return _EXIT_FAILED if failed else 0


def _line(finding: Finding) -> str:
    level = f"{finding.level:<4}"
    if is_terminal():
        level = click.style(level, fg=_STYLES[finding.level], bold=finding.level != "ok")
    do = f"\n{'':27}do: {clean(finding.do)}" if finding.do else ""
    return f"{level}  {finding.check:<19}  {clean(finding.text)}{do}"
