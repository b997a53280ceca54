"""How tools open their sockets: every line of the family, with its keys and its way of sharing the port."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from outcrier import _core
from outcrier.capture.library import group_by_venue
from outcrier.capture.replay import replay_into
from outcrier.config import MulticastConfig, SubscriberConfig
from outcrier.errors import ConfigurationError, NetworkError
from outcrier.monitor.follower import Followed
from outcrier.monitor.source import Source
from outcrier.reception import Address
from sockets import INTERFACE, Net, until

CaptureFinder = Callable[[str], Path]

USDM = "binance_usdm/usdm_btcusdt_2022-08-11"
PERP = "BTC/USDT:PERP@binance_usdm"
KEY = "1: " + "5a" * 32 + "\n"
CONSUMER = SubscriberConfig(rcvbuf_bytes=1 << 20)


@pytest.fixture
def at() -> MulticastConfig:
    """A family of a test's own, with both lines."""
    net, others = Net.pick(), Net.pick()
    return msgspec.structs.replace(
        net.multicast(), group_b=others.group, group_repair=others.snapshot_group, group_text=""
    )


@pytest.fixture(scope="module")
def frames(capture: CaptureFinder) -> list[bytes]:
    """The first frames of a capture on the incremental plane, signed."""
    publisher = _core.Publisher.memory(keys=KEY)
    replay_into(publisher, group_by_venue([capture(USDM)])[0])
    return [data for plane, data in publisher.take() if plane == 0][:200]


def key_file(folder: Path, text: str) -> SubscriberConfig:
    path = folder / "keys"
    path.write_text(text)
    path.chmod(0o600)
    return msgspec.structs.replace(CONSUMER, key_file=str(path))


@pytest.fixture
def send(frames: list[bytes]) -> Iterator[Callable[[str, int], None]]:
    """Sends the frames to a group and port of this host."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(INTERFACE))
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 0)

        def sent(group: str, port: int) -> None:
            for frame in frames:
                sender.sendto(frame, (group, port))

        yield sent


def test_what_is_looked_at_is_followed_on_every_line(
    at: MulticastConfig, send: Callable[[str, int], None]
) -> None:
    with closing(Source(Address.of("crypto", at), CONSUMER)) as source:
        assert source.follow(PERP) is not None
        seen: list[Followed] = []

        def is_there() -> bool:
            # Line A is silent: the book can only come by line B.
            send(at.group_b, at.port)
            followed = source.follow(PERP)
            assert followed is not None
            seen.append(followed)
            return bool(followed.bids)

        until(is_there, "a book by line B")
    assert seen[-1].symbol == PERP
    assert seen[-1].instr_seq > 0


def test_what_is_followed_is_checked_with_the_keys_of_the_configuration(
    at: MulticastConfig, send: Callable[[str, int], None], tmp_path: Path
) -> None:
    address = Address.of("crypto", at)
    with closing(Source(address, key_file(tmp_path, KEY.replace("5a", "a5")))) as source:
        for _ in range(3):
            assert source.follow(PERP) is not None
            send(at.group_a, at.port)
        followed = source.follow(PERP)
        assert followed is not None
        assert (followed.state, followed.bids) == ("UNKNOWN", ())
    with closing(Source(address, key_file(tmp_path, KEY))) as source:
        assert source.follow(PERP) is not None
        send(at.group_a, at.port)
        until(lambda: bool((followed := source.follow(PERP)) and followed.bids), "a book that is signed")


@pytest.mark.parametrize("wrong", ["no key\n", ""])
def test_keys_that_are_none_are_refused_at_the_start(at: MulticastConfig, wrong: str, tmp_path: Path) -> None:
    consumer = key_file(tmp_path, wrong) if wrong else msgspec.structs.replace(CONSUMER, manifest_key="ab")
    with pytest.raises(ConfigurationError, match="key"):
        Source(Address.of("crypto", at), consumer)


def test_a_monitor_shares_the_port_as_the_configuration_says(at: MulticastConfig) -> None:
    shared = msgspec.structs.replace(at, reuse_port=True)
    with closing(Source(Address.of("crypto", shared), CONSUMER)):
        with closing(Source(Address.of("crypto", shared), CONSUMER)) as second:
            assert second.rcvbuf_bytes > 0
        with pytest.raises(NetworkError, match=str(at.port)):
            Source(Address.of("crypto", at), CONSUMER)


def test_a_monitor_hears_the_senders_of_the_configuration_alone(
    at: MulticastConfig, send: Callable[[str, int], None], frames: list[bytes]
) -> None:
    deaf = msgspec.structs.replace(at, sources=("127.0.0.2",))
    with (
        closing(Source(Address.of("crypto", at), CONSUMER)) as all_of_them,
        closing(Source(Address.of("crypto", deaf), CONSUMER)) as one,
    ):
        send(at.group_a, at.port)
        until(lambda: _heard(all_of_them) == len(frames), "what was sent")
        assert _heard(one) == 0


def _heard(source: Source) -> int:
    source.listen(1_000_000)
    return source.monitor.line(0)["datagrams"]
