"""MAC, keys and manifests: the reference against the published vectors, the core against the reference."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from outcrier.errors import ConfigurationError
from outcrier.key_file import read_key_file
from test_wire_reference import BBO, BBO_AUTH, HEARTBEAT, frames
from wire_auth_reference import derive, is_authentic, manifest, signed, siphash_2_4
from wire_reference import decode, encode

MASTER = bytes(range(32))
SESSION = 90_000_001
KEY = derive(MASTER, 1, SESSION, 0)
SEED = bytes(range(32))
# The window of `wire_manifest.rs`: channel 3, numbers 10 to 19, a hash of 32 times 5.
WINDOW_SIGNATURE = (
    "5ede3a75ccf18dede29c299fedc4268dfa1e0356af28e92113a3d3374e5d04c3"
    "af2f1154d5779e9585ce6f15583b31e0926fa04a26d8677e9bf52d99040c880f"
)


def test_siphash_equals_the_vectors_of_its_authors() -> None:
    key = bytes(range(16))
    assert siphash_2_4(key, b"") == 0x726FDB47DD0E0E31
    assert siphash_2_4(key, bytes(range(15))) == 0xA129CA6149BE45E5


def test_key_and_mac_equal_their_vectors() -> None:
    assert KEY.hex() == "db2055cd61e9533571b07bbb957969e4"
    assert derive(MASTER, 0x81, SESSION, 0) == KEY
    assert siphash_2_4(KEY, BBO_AUTH[:-8]) == 0x3F5B09F0FC28F36D
    assert signed(BBO, KEY) == BBO_AUTH == signed(BBO_AUTH[:-8] + bytes(8), KEY)


def test_a_mac_holds_for_its_key_and_its_bytes_only() -> None:
    assert is_authentic(BBO_AUTH + bytes(30), KEY), "padding is no part of it"
    assert not is_authentic(BBO, KEY)
    assert not is_authentic(BBO_AUTH[:-1] + b"\0", KEY)
    for others in ((2, SESSION, 0), (1, SESSION + 1, 0), (1, SESSION, 1)):
        assert not is_authentic(BBO_AUTH, derive(MASTER, *others))


def test_a_manifest_is_signed_over_72_bytes() -> None:
    private = Ed25519PrivateKey.from_private_bytes(SEED)
    told = b"outcrier-manifest-1" + struct.pack("<BIQQ", 3, SESSION, 10, 20) + bytes([5]) * 32
    assert len(told) == 72
    assert private.sign(told).hex() == WINDOW_SIGNATURE
    one = manifest(3, SESSION, 7, [b"ab", b"c"])
    assert one == told[:24] + struct.pack("<QQ", 7, 9) + hashlib.blake2b(b"abc", digest_size=32).digest()


@pytest.fixture(scope="module")
def core() -> Any:
    """The binding; without it only the reference itself is tested."""
    return pytest.importorskip("outcrier._core", reason="the Rust core is not built")


def counters(receiver: Any) -> dict[str, int]:
    """Those that have to do with trust."""
    names = (
        "mac_missing",
        "mac_wrong",
        "key_unknown",
        "manifest_ok",
        "manifest_bad",
        "manifest_unverifiable",
    )
    return {name: count for name, count in receiver.counters().items() if name in names and count}


@settings(max_examples=100, deadline=None)
@given(datagram=frames(), key_id=st.integers(0, 255))
def test_the_core_believes_what_the_reference_signs(core: Any, datagram: bytes, key_id: int) -> None:
    header = decode(datagram).header
    key = derive(MASTER, header["channel"], header["session"], key_id)
    receiver = core.Receiver(keys=f"{key_id}: {MASTER.hex()}\n", accept_replay=True, accept_test=True)
    frame = signed(decode(datagram).raw, key)
    if len(frame) > 1_400:
        return
    receiver.datagram(0, frame, 0, 1)
    assert counters(receiver) == {}
    receiver.datagram(0, frame[:-1] + bytes([frame[-1] ^ 1]), 0, 1)
    assert counters(receiver)["mac_wrong"] == 1
    receiver.datagram(0, datagram, 0, 1)
    assert counters(receiver)["mac_missing"] == 1


def test_the_core_proves_what_cryptography_signs(core: Any) -> None:
    private = Ed25519PrivateKey.from_private_bytes(SEED)
    public = private.public_key().public_bytes_raw().hex()
    told = [
        encode("STATUS", {"channel": 3, "session": SESSION, "channel_seq": number, "venue": 1}, {"scope": 1})
        for number in range(1, 21)
    ]

    def heartbeat(next_seq: int, mono_ns: int, signature: bytes = b"") -> bytes:
        header = {"channel": 3, "session": SESSION, "channel_seq": next_seq, "venue": 1}
        records = [{"signature": signature}] if signature else []
        return encode("HEARTBEAT", header, {"publisher_id": 1, "mono_ns": mono_ns}, records)

    def heard(datagrams: list[bytes]) -> dict[str, int]:
        receiver = core.Receiver(manifest_key=public)
        for datagram in datagrams:
            receiver.datagram(0, datagram, 0, 1)
        return counters(receiver)

    first = private.sign(manifest(3, SESSION, 1, told[:10]))
    second = private.sign(manifest(3, SESSION, 11, told[10:]))
    beats = [heartbeat(11, 10**9, first), heartbeat(21, 2 * 10**9, second)]
    assert heard([told[0], heartbeat(2, 1), *told[1:], *beats]) == {"manifest_ok": 2}
    assert heard([told[0], heartbeat(2, 1), *told[1:10], beats[0], *told[10:], beats[1]]) == {
        "manifest_ok": 2
    }
    forged = encode("STATUS", decode(told[14]).header, {"scope": 2})
    assert heard([told[0], heartbeat(2, 1), *told[1:14], forged, *told[15:], *beats]) == {
        "manifest_ok": 1,
        "manifest_bad": 1,
    }
    assert heard([*told[5:], *beats]) == {"manifest_ok": 1, "manifest_unverifiable": 1}


def test_wrong_keys_are_refused_in_words_that_do_not_show_them(core: Any) -> None:
    for keys, words in (
        ("12ab", "line 1 is no key"),
        (f"{MASTER.hex()}\n{MASTER.hex()}", "two keys have the key_id 0"),
        ("# none", "there is no key"),
    ):
        with pytest.raises(ValueError, match=words) as caught:
            core.Receiver(keys=keys)
        assert "12ab" not in str(caught.value)
    with pytest.raises(ValueError, match="64 hex digits"):
        core.Receiver(manifest_key="ab")


def test_a_key_file_is_read_only_if_nobody_else_can(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(f"{MASTER.hex()}\n")
    for mode in (0o600, 0o400, 0o640):
        path.chmod(mode)
        assert read_key_file(path) == f"{MASTER.hex()}\n"
    for mode in (0o644, 0o604, 0o660, 0o602):
        path.chmod(mode)
        with pytest.raises(
            ConfigurationError, match=rf"mode {mode:04o}\), allowed is 0600 or 0640: chmod 600"
        ):
            read_key_file(path)
    path.chmod(0o600)
    path.write_bytes(b"x" * 4_097)
    with pytest.raises(ConfigurationError, match="more than 4096 bytes"):
        read_key_file(path)
    path.write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match="no ASCII"):
        read_key_file(path)
    with pytest.raises(ConfigurationError, match=r"missing: No such file"):
        read_key_file(tmp_path / "missing")


def test_heartbeats_without_a_manifest_prove_nothing(core: Any) -> None:
    receiver = core.Receiver(
        manifest_key=Ed25519PrivateKey.from_private_bytes(SEED).public_key().public_bytes_raw().hex()
    )
    receiver.datagram(0, HEARTBEAT, 0, 1)
    assert counters(receiver) == {}
