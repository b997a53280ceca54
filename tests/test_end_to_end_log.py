"""A feeder with everything on: keys, log, signatures and text lines, and what each of them is good for."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from outcrier import _core
from outcrier.text_lines import CONN_LINE, DATA_LINE
from sockets import Child, Net, Witness, cut, joined, stand_in, until

CaptureFinder = Callable[[str], Path]

USDM = "binance_usdm/usdm_btcusdt_2024-08-08"
LIST = "binance_usdm/usdm_instruments"
SYMBOL = "BTC/USDT:PERP@binance_usdm"
MASTER, SEED = "5a" * 32, "c3" * 32
UNNUMBERED = {0x01, 0x03}
"""HEARTBEAT and SESSION_END."""

pytestmark = pytest.mark.timeout(100)


@pytest.fixture
def net() -> Net:
    return Net.pick()


def secret(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text + "\n")
    path.chmod(0o600)
    return path


def heard(text: socket.socket, most: int) -> list[str]:
    """Text lines that have come so far."""
    lines: list[str] = []
    while len(lines) < most:
        lines.append(text.recv(2_048).decode("ascii"))
    return lines


def test_what_is_published_is_signed_logged_and_told_in_lines(
    net: Net, capture: CaptureFinder, tmp_path: Path
) -> None:
    path = cut(capture(USDM), tmp_path, 9_000)
    keys, log = secret(tmp_path, "keys", MASTER), tmp_path / "log"
    public = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(SEED)).public_key().public_bytes_raw().hex()
    group_text = Net.pick().group
    environment = {
        **net.environment(),
        "OUTCRIER__MULTICAST__CRYPTO__GROUP_TEXT": group_text,
        "OUTCRIER__FEEDER__KEY_FILE": str(keys),
        "OUTCRIER__FEEDER__LOG_DIR": str(log),
        "OUTCRIER__FEEDER__MANIFEST_KEY_FILE": str(secret(tmp_path, "seed", SEED)),
    }
    exchange, config = stand_in(tmp_path, path, "--speed", "2", "--instruments", capture(LIST))
    with (
        exchange,
        joined(group_text, net.port) as text,
        Witness(net) as witness,
        net.subscriber(symbols=[SYMBOL], key_file=keys, manifest_key=public) as sub,
        Child(tmp_path, "run", "--config", config, **environment) as feeder,
    ):
        text.settimeout(30)

        def proved() -> bool:
            sub.pump(0.05)
            return sub.counters()["manifest_ok"] >= 2 and sub.state(SYMBOL) == "LIVE"

        until(proved, "two signatures of what came, and a live book")
        lines = heard(text, 20)
        feeder.signal(signal.SIGTERM)
        assert feeder.end() == 0, feeder.err
        until(witness.ended, "SESSION_END")
        counters = sub.counters()
    assert counters["mac_missing"] == counters["mac_wrong"] == counters["manifest_bad"] == 0
    for line in lines:
        assert line.endswith("\n")
        assert DATA_LINE.fullmatch(line[:-1]) or CONN_LINE.fullmatch(line[:-1]), line
    assert any(line.startswith("BINANCE|usdm|book|") for line in lines)
    assert "CONN|BINANCE|1|0|1\n" in lines
    with Child(tmp_path, "log", log, "--json") as listed:
        assert listed.end() == 0, listed.err
    [session] = json.loads(listed.out)["sessions"]
    assert (session["first"], session["hole_count"], session["missing_unmarked"], session["ended"]) == (
        1,
        0,
        0,
        True,
    )
    records = ((session, number, frame) for _, session, number, _, frame in _core.LogReader(log))
    logged = {(session, number): frame for session, number, frame in records if frame[2] not in UNNUMBERED}
    sent = {
        (frame.header["session"], frame.header["channel_seq"]): data
        for frame, data in zip(witness.frames(0), witness.of_plane(0), strict=True)
        if frame.header["instrument"]
    }
    assert len(sent) > 500
    assert {key: logged[key] for key in sent} == {
        key: data[: len(logged[key])] for key, data in sent.items()
    }, "byte for byte what was on the wire, without its padding"
