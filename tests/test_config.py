"""The configuration: defaults, overrides, refusals; and the file shown to operators is held to the code."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import msgspec
import pytest

from outcrier.config import (
    DEFAULT_VENUES,
    Config,
    FeederConfig,
    MulticastConfig,
    SubscriberConfig,
    VenueConfig,
    load,
    meta_of,
    render,
)
from outcrier.errors import ConfigurationError

SHOWN = Path(__file__).parent.parent / "config" / "outcrier.toml"


def write(directory: Path, text: str) -> Path:
    path = directory / "outcrier.toml"
    path.write_text(text)
    return path


def test_the_file_shown_has_every_key_with_its_default_unit_and_effect() -> None:
    text = SHOWN.read_text()
    data = tomllib.loads(text)
    sections: list[tuple[str, type[msgspec.Struct], object]] = [
        ("feeder", FeederConfig, data["feeder"]),
        ("multicast.crypto", MulticastConfig, data["multicast"]["crypto"]),
        ("multicast.stock", MulticastConfig, data["multicast"]["stock"]),
        ("subscriber", SubscriberConfig, data["subscriber"]),
    ]
    sections += [(f"venues.{name}", VenueConfig, data["venues"][name]) for name in DEFAULT_VENUES]
    assert set(data) == {"feeder", "multicast", "subscriber", "venues"}
    for name, struct, table in sections:
        fields = msgspec.structs.fields(struct)
        assert isinstance(table, dict)
        assert set(table) == {field.name for field in fields}, name
        part = text.split(f"\n[{name}]\n")[1].split("\n[")[0]
        for field in fields:
            meta = meta_of(field.type)
            comment = re.search(rf"# (.*)\n# Takes (.*)\. Default: (.*)\n{field.name} = (.*)(?:\n|$)", part)
            assert comment is not None, f"{name}.{field.name} has no comment"
            assert comment.group(1) == meta["description"]
            assert comment.group(2) == meta["unit"]
            assert comment.group(3) == comment.group(4), "the file shown holds the defaults"
    assert load(SHOWN, {}) == Config()


def test_render_and_load_are_inverse(tmp_path: Path) -> None:
    config = Config(
        feeder=FeederConfig(state_dir="/srv/ä b", limited_mode=True),
        multicast=msgspec.structs.replace(Config().multicast, crypto=MulticastConfig(port=9101, ttl=1)),
    )
    config.venues["binance_us"] = VenueConfig(
        enabled=True, ws_url="ws://127.0.0.1:8001", symbols=("BTC/USDT", "ETHUSDT"), depth_speed="0ms"
    )
    assert load(write(tmp_path, render(config)), {}) == config
    assert render(Config()) == SHOWN.read_text()
    only = Config(venues={"binance_us": VenueConfig(enabled=True)})
    assert list(load(write(tmp_path, render(only)), {}).enabled_venues()) == ["binance_us"]


def test_without_a_file_three_venues_are_on() -> None:
    config = load(None, {})
    assert list(config.enabled_venues()) == ["binance", "binance_usdm", "binance_coinm"]
    crypto = config.multicast.crypto
    assert (crypto.interface, crypto.group_a, crypto.group_snapshot) == (
        "127.0.0.1",
        "239.192.90.1",
        "239.192.90.3",
    )
    assert (crypto.port, crypto.ttl) == (9001, 0)


def test_a_file_overrides_only_what_it_names(tmp_path: Path) -> None:
    config = load(
        write(tmp_path, '[venues.binance]\nsymbols = ["BTC/USDT"]\n[venues.binance_tr]\nenabled = true'), {}
    )
    assert config.venues["binance"].symbols == ("BTC/USDT",)
    assert config.venues["binance"].enabled
    assert config.venues["binance_tr"].enabled
    assert config.venues["binance_tr"].symbols == ("*",)


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "[multicast.crypto]\nport = 9002\n[feeder]\nlimited_mode = false")
    environ = {
        "OUTCRIER__MULTICAST__CRYPTO__PORT": "9100",
        "OUTCRIER__FEEDER__STATE_DIR": "/srv/state",
        "OUTCRIER__VENUES__BINANCE__ENABLED": "false",
        "OUTCRIER__VENUES__BINANCE_USDM__SYMBOLS": '["BTC/USDT:PERP"]',
        "OUTCRIER__VENUES__BINANCE_USDM__WS_URL": "ws://127.0.0.1:9000",
        "LIMITED_MODE": "true",
        "OUTCRIER_DATA": "/somewhere",
    }
    config = load(path, environ)
    assert config.multicast.crypto.port == 9100
    assert config.feeder == FeederConfig(state_dir="/srv/state", limited_mode=True)
    assert list(config.enabled_venues()) == ["binance_usdm", "binance_coinm"]
    assert config.venues["binance_usdm"].symbols == ("BTC/USDT:PERP",)
    assert config.venues["binance_usdm"].ws_url == "ws://127.0.0.1:9000"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[feder]\nx = 1", "feder: unknown key; did you mean feeder?"),
        ("[feeder]\nlimited = true", "feeder.limited: unknown key; did you mean feeder.limited_mode?"),
        ("[venues.binanec]\n", "venues.binanec: unknown key; did you mean venues.binance?"),
        (
            "[multicast.crypto]\nzzz = 1",
            "multicast.crypto.zzz: unknown key; known are " + ", ".join(MulticastConfig.__struct_fields__),
        ),
        ("[multicast.stocks]\n", "multicast.stocks: unknown key; did you mean multicast.stock?"),
        (
            "[multicast.crypto]\nport = 70000",
            "multicast.crypto.port: 70000 is not allowed; it takes port number, 1 to 65535",
        ),
        (
            '[multicast.crypto]\nport = "9001"',
            "multicast.crypto.port: '9001' is not allowed; it takes port number, 1 to 65535",
        ),
        (
            '[multicast.crypto]\ngroup_a = "10.0.0.1"',
            "multicast.crypto.group_a: '10.0.0.1' is not allowed; it takes IPv4 multicast address",
        ),
        (
            '[multicast.crypto]\ninterface = "eth0"',
            "multicast.crypto.interface: 'eth0' is not allowed; it takes IPv4 address",
        ),
        (
            "[feeder]\nlimited_mode = 1",
            "feeder.limited_mode: 1 is not allowed; it takes true or false",
        ),
        (
            '[feeder]\nevent_loop = "trio"',
            "feeder.event_loop: 'trio' is not allowed; it takes auto, uvloop or asyncio",
        ),
        (
            '[venues.binance]\nws_url = "stream.binance.com"',
            (
                "venues.binance.ws_url: 'stream.binance.com' is not allowed; "
                "it takes ws:// or wss:// URL; empty = the venue's own"
            ),
        ),
        (
            '[venues.binance]\nsymbols = "BTC/USDT"',
            (
                "venues.binance.symbols: 'BTC/USDT' is not allowed; "
                'it takes list of symbols, such as ["BTC/USDT", "ETHUSDT"]'
            ),
        ),
        ("feeder = 1", "feeder: it must be a table"),
        ("venues = []", "venues: it must be a table"),
    ],
)
def test_refusals_are_one_line_with_file_key_and_what_is_allowed(
    tmp_path: Path, text: str, expected: str
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigurationError) as caught:
        load(path, {})
    assert str(caught.value) == f"{path}: {expected}"


def test_a_refused_variable_is_named() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(None, {"OUTCRIER__MULTICAST__CRYPTO__PORT": "many"})
    assert str(caught.value) == (
        "OUTCRIER__MULTICAST__CRYPTO__PORT (multicast.crypto.port): 'many' is not allowed; "
        "it takes port number, 1 to 65535"
    )
    with pytest.raises(
        ConfigurationError, match=r"OUTCRIER__FEEDER__STATEDIR .*did you mean feeder.state_dir"
    ):
        load(None, {"OUTCRIER__FEEDER__STATEDIR": "/x"})
    with pytest.raises(ConfigurationError, match="LIMITED_MODE: 'maybe' is neither true nor false"):
        load(None, {"LIMITED_MODE": "maybe"})


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"absent\.toml: No such file or directory"):
        load(tmp_path / "absent.toml", {})
    with pytest.raises(ConfigurationError, match=r"outcrier\.toml: not TOML: Expected"):
        load(write(tmp_path, "[feeder"), {})
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="not TOML"):
        load(tmp_path / "binary.toml", {})
    (tmp_path / "long.toml").write_bytes(b"#" * (1024 * 1024 + 1))
    with pytest.raises(ConfigurationError, match="longer than"):
        load(tmp_path / "long.toml", {})
