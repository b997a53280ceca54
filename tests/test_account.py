"""Accounts of venues: signatures by the venues' own examples, key files, and what never shows."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import logging
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from outcrier.config import VenueConfig
from outcrier.errors import ConfigurationError
from outcrier.feeder.account import account_of
from outcrier.feeder.http import HttpClient
from outcrier.feeder.plan import Planner, check_venue, spec_of
from outcrier.feeder.transport import Link, LinkListener, TransportError
from outcrier.venues import VENUES
from outcrier.venues.account import ApiKey, api_key
from outcrier.venues.coinbase_exchange import COINBASE_EXCHANGE
from outcrier.venues.kraken import KRAKEN
from outcrier.venues.kraken_level3 import HOST, ROUTE, SYMBOLS_AT_ONCE, KrakenAccount, sign

# The example of "Spot REST Authentication" (docs.kraken.com/api/docs/guides/spot-rest-auth, read 2026-07).
SIGNS_WITH = "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg=="
NONCE = 1_616_492_376_594
BODY = f"nonce={NONCE}&ordertype=limit&pair=XBTUSD&price=37500&type=buy&volume=1.25"
API_SIGN = "4/dpxb3iT4tp/ZCVEwSnEsLxx0bqyhLpdfOpc6fn7OR8+UClSV5n9E6aSS8MPtnRfp32bAb0nmbRn6H8ndwLUQ=="

KEY = api_key({"key": "AccountKeyName", "secret": SIGNS_WITH, "passphrase": "PassPhraseText"})
SIZES = (Decimal("0.1"), Decimal("0.00000001"))
SHOWN = ("AccountKeyName", SIGNS_WITH, "PassPhraseText", KEY.secret.hex(), repr(KEY.secret))


def shows_nothing(text: str) -> bool:
    return not any(secret in text for secret in SHOWN)


def key_file(folder: Path, text: str, mode: int = 0o600) -> str:
    path = folder / "account.key"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_krakens_signature_is_that_of_its_example() -> None:
    assert sign(KEY, "/0/private/AddOrder", NONCE, BODY) == API_SIGN
    request = KrakenAccount().token_request(f"wss://{HOST}/v2", KEY, NONCE)
    assert request is not None
    assert (request.path, request.body) == ("/0/private/GetWebSocketsToken", f"nonce={NONCE}")
    digest = hashlib.sha256(f"{NONCE}nonce={NONCE}".encode()).digest()
    proof = hmac.new(base64.b64decode(SIGNS_WITH), request.path.encode() + digest, hashlib.sha512).digest()
    assert request.headers == {"API-Key": "AccountKeyName", "API-Sign": base64.b64encode(proof).decode()}
    assert KrakenAccount().token_request("wss://ws.kraken.com/v2", KEY, NONCE) is None
    assert KrakenAccount().token_request(f"ws://127.0.0.1:9300/{HOST}/v2", KEY, NONCE) is not None


def test_krakens_token_is_in_each_subscription_of_level3_alone() -> None:
    account = KrakenAccount()
    answer = b'{"error":[],"result":{"token":"1Dwc4lzSwNWOAwkMdqhssNNFhs1ed606d1WcF3XfEMw","expires":900}}'
    got = account.token(answer)
    assert got == "1Dwc4lzSwNWOAwkMdqhssNNFhs1ed606d1WcF3XfEMw"
    for bad, said in (
        (b'{"error":["EAPI:Invalid key"]}', "EAPI:Invalid key"),
        (b'{"error":[],"result":{}}', "the answer has none"),
        (b'{"result":{"token":7}}', "the answer has none"),
        (b"<html>", "the answer has none"),
    ):
        with pytest.raises(ValueError, match=said):
            account.token(bad)
    (request,) = KRAKEN.subscribe(["level3:BTC/USD", "level3:ETH/USD"])
    signed = json.loads(account.signed(request.text, KEY, 0, got))
    assert signed["params"].pop("token") == got
    assert signed == json.loads(request.text)
    assert signed["params"] == {
        "channel": "level3",
        "symbol": ["BTC/USD", "ETH/USD"],
        "depth": 10,
        "snapshot": True,
    }
    (other,) = KRAKEN.subscribe(["book:BTC/USD"])
    for text in (other.text, '{"method":"ping"}', "no JSON", '{"params":[]}'):
        assert account.signed(text, KEY, 0, got) == text


def test_coinbases_subscription_is_signed_as_a_get_of_self_verify() -> None:
    (request,) = COINBASE_EXCHANGE.subscribe(["full:BTC-USD"])
    signed = json.loads(COINBASE_EXCHANGE.account.signed(request.text, KEY, 1_699_999_999, ""))
    proof = hmac.new(
        base64.b64decode(SIGNS_WITH), b"1699999999GET/users/self/verify", hashlib.sha256
    ).digest()
    assert signed == {
        **json.loads(request.text),
        "signature": base64.b64encode(proof).decode(),
        "key": "AccountKeyName",
        "passphrase": "PassPhraseText",
        "timestamp": "1699999999",
    }
    (other,) = COINBASE_EXCHANGE.subscribe(["level2_batch:BTC-USD"])
    (leave,) = COINBASE_EXCHANGE.unsubscribe(["full:BTC-USD"])
    for text in (other.text, leave.text, "no JSON"):
        assert COINBASE_EXCHANGE.account.signed(text, KEY, 1, "") == text


def test_a_key_shows_itself_to_nobody() -> None:
    request = KrakenAccount().token_request(f"wss://{HOST}/v2", KEY, NONCE)
    for text in (repr(KEY), str(KEY), f"{KEY!r:>40}", repr([KEY]), repr(request), str(request)):
        assert shows_nothing(text)
        assert "AccountKey" not in text
        assert "API-Sign" not in text


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        ("key = K\nsecret = c2VjcmV0\n", 0o644, "others can read or write it"),
        ("key = K\n", 0o600, "passphrase is missing|secret is missing"),
        ("# mine\n\nkey = K\nkey = L\nsecret = c2VjcmV0", 0o600, "line 4 is not one of"),
        ("key = K\nsecret = c2VjcmV0\ntoken = T", 0o600, "line 3 is not one of"),
        ("key = K\nsecret c2VjcmV0", 0o600, "line 2 is not one of"),
        ("key =\nsecret = c2VjcmV0", 0o600, "line 1 is not one of"),
        ("key = K\nsecret = no base64!", 0o600, "secret is no base64"),
    ],
)
def test_a_key_file_that_cannot_be_used_is_named_and_not_quoted(
    tmp_path: Path, text: str, mode: int, said: str
) -> None:
    path = key_file(tmp_path, text, mode)
    with pytest.raises(ConfigurationError, match=said) as caught:
        account_of(KRAKEN, VenueConfig(key_file=path), HttpClient())
    assert path in str(caught.value)
    assert not any(word in str(caught.value) for word in ("c2VjcmV0", "no base64!"))


def test_a_key_is_told_to_nobody_without_tls_and_to_no_venue_that_needs_none(tmp_path: Path) -> None:
    path = key_file(tmp_path, f"key = K\nsecret = {SIGNS_WITH}\n")
    http = HttpClient()
    assert account_of(KRAKEN, VenueConfig(), http) is None
    assert account_of(KRAKEN, VenueConfig(key_file=path, rest_url="http://127.0.0.1:1"), http) is not None
    for name, config in (
        ("rest_url", VenueConfig(key_file=path, rest_url="http://example.com")),
        ("ws_url", VenueConfig(key_file=path, ws_url="ws://192.0.2.1:80")),
    ):
        with pytest.raises(ConfigurationError, match=f"venues.kraken.{name}: .*to everybody on the way"):
            account_of(KRAKEN, config, http)
    with pytest.raises(ConfigurationError, match=r"venues.okx.key_file: no channel of okx needs an account"):
        account_of(VENUES["okx"], VenueConfig(key_file=path), http)


def test_a_channel_that_needs_an_account_is_not_offered_without_one() -> None:
    for venue, orders, book in ((KRAKEN, "level3", "book"), (COINBASE_EXCHANGE, "full", "level2_batch")):
        assert orders not in venue.default_channels
        check_venue(venue, VenueConfig())
        said = f"{orders} needs an account of the venue: venues.{venue.name}.key_file names a file"
        with pytest.raises(ConfigurationError, match=said):
            check_venue(venue, VenueConfig(channels=(book, orders)))
        check_venue(venue, VenueConfig(channels=(book, orders), key_file="x"))
        with pytest.raises(ConfigurationError, match=f"channel {orders} of {venue.name} needs {book} beside"):
            check_venue(venue, VenueConfig(channels=(orders,), key_file="x"))
    with pytest.raises(ConfigurationError, match=r"channels matches and full .* carry the same trades"):
        check_venue(
            COINBASE_EXCHANGE, VenueConfig(channels=("level2_batch", "matches", "full"), key_file="x")
        )


def pairs(count: int) -> list[Any]:
    entries = [KRAKEN.unlisted(f"A{number}/USD", *SIZES) for number in range(count)]
    return KRAKEN.parse_instruments(KRAKEN.with_entries(None, entries))[0]


def test_the_planner_keeps_krakens_limits_of_level3() -> None:
    planner = Planner(KRAKEN, ("book", "level3"), {})
    planner.add(pairs(450))
    level3 = [each for each in planner.connections if each.route == ROUTE]
    assert [len(each.parts) for each in level3] == [200, 200, 50]
    assert {each.url for each in level3} == {f"wss://{HOST}/v2"}
    assert all(each.orders and not each.books for each in level3)
    assert len(planner.with_orders()) == len(planner.with_book()) == 450
    spec = spec_of(level3[0], KRAKEN)
    # 200 counts a second, of which a symbol with ten levels takes five; one message a second.
    assert [request.acks for request in spec.subscribe] == [SYMBOLS_AT_ONCE] * 5 == [40] * 5
    assert spec.messages_per_second == 1.0
    assert KRAKEN.limits_of(ROUTE).messages_per_address
    others = [each for each in planner.connections if each.route != ROUTE]
    assert spec_of(others[0], KRAKEN).messages_per_second == KRAKEN.limits.messages_per_s
    local = Planner(KRAKEN, ("book", "level3"), {}, "ws://127.0.0.1:9300")
    local.add(pairs(1))
    assert {each.url for each in local.connections} == {
        f"ws://127.0.0.1:9300/{HOST}/v2",
        "ws://127.0.0.1:9300/v2",
    }


def test_coinbases_orders_come_by_connections_of_their_own() -> None:
    assert COINBASE_EXCHANGE.route("full:BTC-USD") != COINBASE_EXCHANGE.route("level2_batch:BTC-USD")
    (instrument,), _ = COINBASE_EXCHANGE.parse_instruments(
        COINBASE_EXCHANGE.with_entries(None, [COINBASE_EXCHANGE.unlisted("BTC-USD", *SIZES)])
    )
    request = COINBASE_EXCHANGE.orders_request(instrument)
    assert request is not None
    assert request.target == "/products/BTC-USD/book?level=3"


class _Listener:
    def __init__(self) -> None:
        self.link: Link | None = None

    def on_open(self, link: Link) -> None:
        self.link = link


class _Socket:
    def __init__(self) -> None:
        self.sent: list[str] = []

    def send(self, text: str) -> None:
        self.sent.append(text)

    def ping(self) -> None:
        self.sent.append("ping")

    def close(self, code: int, reason: str) -> None:
        self.sent.append(f"close {code} {reason}")

    def abort(self) -> None:
        self.sent.append("abort")


def test_what_stands_above_a_link_never_holds_what_proves_the_account(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The connection, and a recorder that listens in, send what the venue's module made; the socket alone has
    the token.
    """
    caplog.set_level(logging.DEBUG)
    path = key_file(tmp_path, f"key = AccountKeyName\nsecret = {SIGNS_WITH}\n")
    posted: list[tuple[str, dict[str, str], str]] = []
    answers = [b'{"error":["EAPI:Invalid nonce"]}', b'{"error":[],"result":{"token":"TheToken"}}']

    class Http:
        async def post(self, url: str, headers: dict[str, str], body: str) -> Any:
            posted.append((url, headers, body))
            return type("Answer", (), {"body": answers.pop(0)})

    links = account_of(KRAKEN, VenueConfig(key_file=path), Http())  # type: ignore[arg-type]
    assert links is not None
    socket = _Socket()

    async def connect(url: str, listener: LinkListener, deadline_s: float) -> None:
        del url, deadline_s
        listener.on_open(socket)

    async def run() -> None:
        url = f"wss://{HOST}/v2"
        with pytest.raises(TransportError, match=r"api.kraken.com: .*no token: EAPI:Invalid nonce") as caught:
            await links.connectors(lambda _: connect)(url)(url, _Full(), 1.0)
        assert shows_nothing(str(caught.value))
        listener = _Full()
        await links.connectors(lambda _: connect)(url)(url, listener, 1.0)
        assert listener.link is not None
        (request,) = KRAKEN.subscribe(["level3:BTC/USD"])
        listener.link.send(request.text)
        listener.link.ping()
        listener.link.close(1000, "over")
        assert "TheToken" not in request.text
        other = _Full()
        await links.connectors(lambda _: connect)("wss://ws.kraken.com/v2")(
            "wss://ws.kraken.com/v2", other, 1.0
        )

    class _Full(_Listener):
        on_frame = on_read_end = on_pong = on_close = staticmethod(lambda *_: None)

    asyncio.run(run())
    assert json.loads(socket.sent[0])["params"].popitem() == ("token", "TheToken")
    assert socket.sent[1:] == ["ping", "close 1000 over"]
    assert len(posted) == 2, "the public connection needs no token"
    nonces = [int(body.removeprefix("nonce=")) for _, _, body in posted]
    assert nonces[0] < nonces[1]
    assert {url for url, _, _ in posted} == {"https://api.kraken.com/0/private/GetWebSocketsToken"}
    assert all(headers["API-Key"] == "AccountKeyName" for _, headers, _ in posted)
    assert shows_nothing(caplog.text)
    assert "TheToken" not in caplog.text


def test_an_api_key_is_values_and_nothing_else() -> None:
    assert ApiKey("K", b"s") == api_key({"key": "K", "secret": "cw=="})
