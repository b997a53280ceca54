"""The file of faulty messages: what it holds and that it stays small."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

from feed_bench import Bench
from outcrier.feeder.faults import FaultFile, FaultKeeper


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def written() -> None:
    """Waits for every write under way."""
    await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})


def test_a_message_is_kept_as_it_came(tmp_path: Path) -> None:
    path = tmp_path / "faults.jsonl"
    FaultFile(path).write([("malformed JSON", 7, 2, b'{"e":\n'), ("wrong type", 8, 1, b"\xff\x00")])
    FaultFile(path).write([("too deep", 9, 1, "[é".encode())])
    assert lines(path) == [
        {"t": 7, "conn": 2, "reason": "malformed JSON", "d": '{"e":\n'},
        {"t": 8, "conn": 1, "reason": "wrong type", "b": base64.b64encode(b"\xff\x00").decode()},
        {"t": 9, "conn": 1, "reason": "too deep", "d": "[é"},
    ]


def test_a_full_file_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "faults.jsonl"
    file = FaultFile(path, bytes_max=10_000)
    for number in range(1_000):
        file.write([("junk", number, 1, b"x" * 400)])
        assert path.stat().st_size <= 10_000
    kept = [line["t"] for line in lines(path)]
    assert kept == list(range(kept[0], 1_000)), "whole lines, the newest"


def test_a_feeds_faults_are_kept_once(tmp_path: Path) -> None:
    path = tmp_path / "faults.jsonl"
    bench = Bench("binance")
    told: list[str] = []

    async def run() -> None:
        keeper = FaultKeeper(bench.feed, path, told.append)
        for batch in (3, 0, 100):
            for number in range(batch):
                bench.feed.on_frame(1, b'{"stream":"btcusdt@trade","data":{"e":"trade",%d' % number)
            keeper.sample()
            await written()

    asyncio.run(run())
    kept = [str(line["d"]).rpartition(",")[2] for line in lines(path)]
    assert kept == ["0", "1", "2", *map(str, range(36, 100))], "of many the last 64"
    assert told == []


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    bench = Bench("binance")
    told: list[str] = []

    async def run() -> None:
        keeper = FaultKeeper(bench.feed, tmp_path, told.append)
        bench.feed.on_frame(1, b"{")
        keeper.sample()
        await written()

    asyncio.run(run())
    assert told == [f"{tmp_path}: Is a directory"]
