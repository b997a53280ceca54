"""Stand-ins of all captured venues at once, each a process of its own, so that one can be killed."""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click
import msgspec

from outcrier.capture.library import CaptureGroup, data_folder, sessions_of_all
from outcrier.cli.output import clean
from outcrier.config import Config, load, render
from outcrier.errors import ConfigurationError, NetworkError
from outcrier.feeder.service import stop_on_signals

START_S: Final = 60.0
"""A stand-in reads its captures before it listens: the longest take some seconds."""

END_S: Final = 5.0
"""After SIGTERM; then it is killed."""


async def serve_all(config_out: Path, host: str, port: int, options: Sequence[str]) -> None:
    """Runs them until SIGINT or SIGTERM and writes the configuration of a feeder of all of them. Ports are
    `port` and those after it, 0 = any free ones; `options` go to each. Raises ConfigurationError where there
    are no captures, NetworkError for one that does not start.
    """
    folder = data_folder()
    groups = [] if folder is None else sessions_of_all(folder)
    if not groups:
        raise ConfigurationError("no captures found: set OUTCRIER_DATA to the folder that holds captures/")
    stop = asyncio.Event()
    stop_on_signals(stop)
    children: list[Process] = []
    try:
        with tempfile.TemporaryDirectory() as parts:
            configs: list[Config] = []
            for number, group in enumerate(groups):
                part = Path(parts, f"{group.venue}.toml")
                own = str(port + number if port else 0)
                child = await _start(
                    group, ["--host", host, "--port", own, "--config-out", str(part), *options]
                )
                children.append(child)
                await _listening(group, child)
                configs.append(load(part, {}))
        venues = {
            name: msgspec.structs.replace(each, enabled=False) for name, each in Config().venues.items()
        }
        for config in configs:
            venues |= config.enabled_venues()
        try:
            config_out.write_text(  # noqa: ASYNC240 - once, at the start
                render(msgspec.structs.replace(Config(), venues=venues)), encoding="utf-8"
            )
        except OSError as error:
            raise ConfigurationError(f"{config_out}: {error.strerror}") from error
        click.echo(f"{len(children)} venues: {config_out}")
        await stop.wait()
    finally:
        await asyncio.gather(*map(_end, children))


async def _start(group: CaptureGroup, options: Sequence[str]) -> Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "outcrier", "venue", "--venue", group.venue, *options),
        *map(str, group.paths),
        stdout=PIPE,
    )


async def _listening(group: CaptureGroup, child: Process) -> None:
    """Waits until it says where it listens, and passes that on with its process id."""
    if child.stdout is None:
        raise NetworkError(f"{group.venue}: no output")
    try:
        line = await asyncio.wait_for(child.stdout.readline(), START_S)
    except TimeoutError as error:
        raise NetworkError(f"the stand-in of {group.venue} did not start within {START_S:.0f} s") from error
    if not line:
        raise NetworkError(f"the stand-in of {group.venue} did not start: see above")
    click.echo(f"pid {child.pid} {clean(line.decode(errors='replace').strip())}")


async def _end(child: Process) -> None:
    if child.returncode is None:
        child.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(child.communicate(), END_S)
    except TimeoutError:
        child.kill()
        await child.wait()
