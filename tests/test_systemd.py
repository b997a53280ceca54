"""The unit files: systemd's own checks without a running systemd, and what they promise of `outcrier run`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import ROOT
from outcrier.cli.run import command
from outcrier.config import SubscriberConfig
from outcrier.feeder.readiness import STANDSTILL_NS

UNITS = ROOT / "systemd"
FEED = (UNITS / "outcrier-feed@.service").read_text(encoding="utf-8")
EXPOSURE_MAX = 2.0


def values(key: str) -> list[str]:
    """Of a key of the feeder's unit."""
    return re.findall(rf"^{key}=(.*)$", FEED, re.MULTILINE)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units as they would be installed, for two instances; the check wants the program to be there."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is missing: install the package systemd")
    program = tmp_path / "outcrier"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    shutil.copy(UNITS / "outcrier.target", tmp_path)
    for instance in ("", "all", "binance_usdm"):
        unit = tmp_path / f"outcrier-feed@{instance}.service"
        unit.write_text(FEED.replace("/opt/outcrier/bin/outcrier", str(program)))
    return tmp_path


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"SYSTEMD_LOG_LEVEL": "warning"},
    )


@pytest.mark.parametrize("instance", ["all", "binance_usdm"])
def test_units_pass_systemds_own_check(installed: Path, instance: str) -> None:
    result = analyze("verify", installed / f"outcrier-feed@{instance}.service", installed / "outcrier.target")
    ours = [line for line in result.stderr.splitlines() if "outcrier" in line]
    assert (result.returncode, ours) == (0, [])


def test_the_check_bites(installed: Path) -> None:
    unit = installed / "outcrier-feed@all.service"
    unit.write_text(unit.read_text().replace("WatchdogSec=10", "WatchdogSecs=10"))
    assert "'WatchdogSecs'" in analyze("verify", unit).stderr


def test_little_of_the_host_is_exposed(installed: Path) -> None:
    unit = installed / "outcrier-feed@all.service"
    result = analyze("security", "--offline=yes", f"--threshold={EXPOSURE_MAX * 10:.0f}", unit)
    assert result.returncode == 0, result.stdout
    told = re.search(r"Overall exposure level for outcrier-feed@all\.service: (\d+\.\d)", result.stdout)
    assert told is not None
    assert float(told[1]) <= EXPOSURE_MAX


def test_what_the_unit_starts_is_a_command_line_of_ours() -> None:
    (start,) = values("ExecStart")
    program, verb, *arguments = start.replace("%i", "all").split()
    assert (program, verb) == ("/opt/outcrier/bin/outcrier", "run")
    parsed = command.make_context("run", arguments, resilient_parsing=False).params
    assert parsed["config"] == Path("/etc/outcrier/outcrier.toml")
    assert parsed["names"] == ("all",)


def test_the_start_is_not_cut_short() -> None:
    (start_s,) = values("TimeoutStartSec")
    assert int(start_s) * 1_000_000_000 > STANDSTILL_NS
    assert values("Type") == ["notify"]


def test_sysctl_lets_consumers_have_the_buffer_they_ask_for() -> None:

    text = (UNITS / "outcrier.sysctl.conf").read_text(encoding="utf-8")
    settings = dict(re.findall(r"^(net\.core\.\w+) = (\d+)$", text, re.MULTILINE))
    assert int(settings["net.core.rmem_max"]) >= SubscriberConfig().rcvbuf_bytes
    asked = re.search(
        r"SNDBUF_BYTES: usize = (\d+) << 20", (ROOT / "rust_core/net/src/publisher/line.rs").read_text()
    )
    assert asked is not None
    assert int(settings["net.core.wmem_max"]) >= int(asked[1]) << 20
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert len(lines) == len(settings) == 2
