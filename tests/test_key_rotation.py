"""Keys that change while the feeder runs: who has both loses nothing, who lacks the new one hears nothing."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from outcrier import _core
from outcrier.capture.server import stand_in_config
from outcrier.capture.stand_in import StandIn
from outcrier.config import Config, FeederConfig, MulticastSections, VenueConfig, render
from outcrier.errors import ConfigurationError
from outcrier.feeder.service import FeederService
from outcrier.key_file import key_path
from outcrier.venues import VENUES
from sockets import Net, until
from wire_auth_reference import derive, is_authentic
from wire_reference import decode
from workers import free_port

CaptureFinder = Callable[[str], Path]

USDM = "binance_usdm/usdm_btcusdt_2022-08-11"
OLD, NEW = (1, bytes.fromhex("0d" * 32)), (2, bytes.fromhex("e4" * 32))


def text(*keys: tuple[int, bytes]) -> str:
    return "".join(f"{key_id}: {master.hex()}\n" for key_id, master in keys)


def write(path: Path, content: str) -> None:
    path.write_text(content)
    path.chmod(0o600)


def is_signed(datagram: bytes, key: tuple[int, bytes]) -> bool:
    header = decode(datagram).header
    return is_authentic(datagram, derive(key[1], header["channel"], header["session"], key[0]))


def test_the_service_changes_its_key_and_nobody_loses_a_frame(
    capture: CaptureFinder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "keys"
    write(path, text(OLD, NEW))
    publisher = _core.Publisher.memory(keys=text(OLD), retransmit=True)
    seen: list[bytes] = []
    both, old = (_core.Receiver(accept_test=True, keys=keys) for keys in (text(OLD, NEW), text(OLD)))

    def hear() -> None:
        for plane, datagram in publisher.take():
            if plane == 0:
                seen.append(datagram)
            for receiver in (both, old):
                receiver.datagram(plane, datagram, 0, len(seen))

    async def more(frames: int) -> None:
        end = len(seen) + frames
        while len(seen) < end:
            hear()
            await asyncio.sleep(0.01)

    async def scene(service: FeederService) -> None:
        await more(200)
        write(path, text(NEW, OLD))
        await service.reload()
        await more(200)
        write(path, "no key\n")
        with caplog.at_level(logging.ERROR):
            await service.reload()
        await more(50)

    async def run() -> None:
        async with StandIn(VENUES["binance_usdm"], [capture(USDM)], speed=20) as stand_in:
            feeder = FeederConfig(state_dir=str(tmp_path / "state"), key_file=str(path))
            config = msgspec.structs.replace(stand_in_config([stand_in]), feeder=feeder)
            stop = asyncio.Event()
            async with FeederService(config, publisher=publisher) as service:
                running = asyncio.create_task(service.run(stop))
                await asyncio.wait_for(scene(service), 60)
                stop.set()
                await running
        hear()

    asyncio.run(run())
    first_new = next(number for number, datagram in enumerate(seen) if is_signed(datagram, NEW))
    assert first_new >= 200
    assert all(is_signed(datagram, OLD) for datagram in seen[:first_new])
    assert all(is_signed(datagram, NEW) for datagram in seen[first_new:])
    beats = [frame for datagram in seen if (frame := decode(datagram)).msg == "HEARTBEAT"]
    assert {beat.root["key_id"] for beat in beats} == {1, 2}
    counters = both.counters()
    assert (counters["mac_wrong"], counters["gaps"], counters["given_up"]) == (0, 0, 0)
    assert old.counters()["mac_wrong"] >= len(seen) - first_new
    assert "the keys stay as they were: feeder.key_file: line 1 is no key" in caplog.text


def test_the_server_understands_requests_under_the_new_key_at_once() -> None:
    publisher = _core.Publisher.memory(keys=text(OLD), retransmit=True)

    def answer(keys: str) -> int:
        probe = _core.health_probe(channel=1, session=1, venue=1, correlation=7, consumer_id=9, keys=keys)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.settimeout(20)
            asker.sendto(probe, ("127.0.0.1", publisher.retransmit_ports()[0]))
            code: int = decode(asker.recv(2_048)).root["code"]
        return code

    need_cookie, bad_mac = 6, 5
    assert (answer(text(OLD)), answer(text(NEW))) == (need_cookie, bad_mac)
    publisher.change_keys(text(NEW, OLD))
    assert (answer(text(OLD)), answer(text(NEW))) == (need_cookie, need_cookie)
    publisher.change_keys(text(NEW))
    assert (answer(text(OLD)), answer(text(NEW))) == (bad_mac, need_cookie)


@pytest.mark.parametrize(("begins", "changes"), [("", text(NEW)), (text(OLD), "")])
def test_a_publisher_signs_from_its_start_to_its_end_or_not_at_all(begins: str, changes: str) -> None:
    with pytest.raises(ValueError, match="or not at all"):
        _core.Publisher.memory(keys=begins).change_keys(changes)


PROGRAM = """
import sys
from pathlib import Path
from outcrier.config import load
from outcrier.feeder.service import serve
serve(load(Path(sys.argv[1]), {}))
"""


def test_sighup_makes_the_program_read_its_keys_again(tmp_path: Path) -> None:
    keys, errors, lock = tmp_path / "keys", tmp_path / "errors", tmp_path / "state/test/binance.lock"
    write(keys, text(OLD))
    port = free_port()
    venue = VenueConfig(enabled=True, ws_url=f"ws://127.0.0.1:{port}", rest_url=f"http://127.0.0.1:{port}")
    config = Config(
        multicast=MulticastSections(crypto=Net.pick().multicast()),
        feeder=FeederConfig(state_dir=str(tmp_path / "state"), key_file=str(keys)),
        venues={"binance": venue},
    )
    (tmp_path / "outcrier.toml").write_text(render(config))
    with errors.open("wb") as file:
        program = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", PROGRAM, str(tmp_path / "outcrier.toml")], stderr=file
        )
    try:
        until(lambda: lock.is_file() and bool(lock.read_text()), "the feeder runs")
        write(keys, text(NEW))
        program.send_signal(signal.SIGHUP)
        until(lambda: f"signing with the first key of {keys}" in errors.read_text(), "keys read again")
        program.send_signal(signal.SIGTERM)
        assert program.wait(40) == 0, errors.read_text()
    finally:
        with suppress(ProcessLookupError):
            program.kill()


def test_a_credential_of_systemd_is_a_key_file(tmp_path: Path) -> None:
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert key_path("credential:outcrier.keys", environ) == tmp_path / "outcrier.keys"
    assert key_path("/etc/credential:x", {}) == Path("/etc/credential:x")
    for name in ("", "..", "a/b", "/etc/shadow"):
        with pytest.raises(ConfigurationError, match="is no name of a credential"):
            key_path(f"credential:{name}", environ)
    with pytest.raises(
        ConfigurationError, match=r"credential:outcrier\.keys: \$CREDENTIALS_DIRECTORY is not"
    ):
        key_path("credential:outcrier.keys", {})
