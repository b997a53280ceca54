"""`outcrier`: finds the verb, and turns every error a person can mend into one line and an exit code."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Final

import click

from outcrier import __version__
from outcrier.errors import OutcrierError

VERBS: Final = (
    "demo",
    "run",
    "ctl",
    "tail",
    "book",
    "instruments",
    "gaps",
    "replay",
    "venue",
    "sim",
    "venues",
    "record",
    "log",
    "pcap",
    "chaos",
    "doctor",
    "dissector",
    "bench",
)
"""Verbs in the order of --help; each is the command `verb` of the module of its name."""

EXIT_CODES: Final = """\b
Exit codes:
  0    it did what was asked; Ctrl-C or SIGTERM ended demo, run, venue, sim, record, chaos,
       udp_monitor, websocket_monitor, tail, book --watch or replay --loop 0
  1    unexpected: a fault of Outcrier, please report it
  2    usage, bad configuration, unknown venue or symbol
  3    data: a capture or log is missing, truncated or corrupt, or cannot be written
  4    network: port in use, no multicast route, nothing heard before --timeout, no exchange reachable;
       doctor: something is wrong that it names
  5    another publisher has taken over: run and replay fell silent at once
  130  Ctrl-C elsewhere, and SIGTERM of a replay that was to end
  141  the reader of a pipe went away
"""

_EXIT_ABORTED: Final = 130
_EXIT_PIPE: Final = 141


class _Verbs(click.Group):
    """Loads the module of a verb when it is asked for: `tail` needs no feeder, and `--version` nothing."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in VERBS:
            return None
        command = import_module(f"outcrier.cli.{cmd_name}").command
        return command if isinstance(command, click.Command) else None


@click.command(
    cls=_Verbs,
    epilog=EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, message="outcrier %(version)s")
def cli() -> None:
    """Exchange feeds in, exact L2 books out over UDP multicast to every process that listens."""


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and exits with its code."""
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    return run_command(cli, "outcrier", arguments)


def run_command(command: click.Command, name: str, arguments: list[str] | None = None) -> int:
    """Runs `command`, called `name`, and returns its exit code; `arguments` None = those of the process."""
    try:
        # Not `command.main`, which turns Ctrl-C and a closed pipe into codes of its own.
        with command.make_context(name, sys.argv[1:] if arguments is None else arguments) as context:
            result = command.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return _EXIT_ABORTED
    except OutcrierError as error:
        click.echo(f"{name}: error: {error}", err=True)
        return error.exit_code
    except BrokenPipeError:
        # The reader went away, as `head` does; Python must not complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _EXIT_PIPE
    return result if isinstance(result, int) else 0
