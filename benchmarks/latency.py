"""From the exchange's frame to multicast, every captured venue connected at once; told as JSON. A program.

    PYTHONPATH=.:python:tests python -m benchmarks.latency RATE SECONDS

The feeder is `outcrier run` on core 0; everything else is on core 1: stand-ins of all venues, one exchange
that pushes RATE messages a second (`load_exchange.py`), and a consumer. Told are the feeder's own histogram
(`/metrics`) and, beside it, from the wall time before the exchange's send to the time the consumer's socket
had the frame. Where the system allows it the feeder runs under SCHED_FIFO: the core is then its own, whatever
else the machine does.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from benchmarks.frame.machine import load_now, load_values, machine, revision
from benchmarks.symbols import read
from conftest import captures_folder
from outcrier.config import load, render
from soak.plan import Played, plan
from soak.run import Exchanges, cpu_s, merged
from sockets import Child, Net
from workers import free_port

FEEDER_CORE, OTHERS_CORE = 0, 1
VENUE: Final = "binance_coinm"
LIVE_S: Final = 240.0
BUCKETS: Final = "outcrier_feed_latency_seconds_bucket{"


def histogram(text: str) -> dict[float, float]:
    """Messages at most so many seconds late, over all venues."""
    found: dict[float, float] = {}
    for line in text.splitlines():
        if line.startswith(BUCKETS):
            bound = float(line.partition('le="')[2].partition('"')[0])
            found[bound] = found.get(bound, 0.0) + float(line.rpartition(" ")[2])
    return found


def quantile(counts: dict[float, float], part: float) -> float:
    """The bound that this part is below."""
    total = max(counts.values())
    return min(bound for bound, count in counts.items() if count >= part * total)


def below(counts: dict[float, float], bound: float) -> float:
    """Part of the messages that is surely below `bound`."""
    return max(count for edge, count in counts.items() if edge <= bound) / max(counts.values())


async def line_of(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), 300)).decode().strip()


def pin(pid: int) -> bool:
    """All threads of a process to the feeder's core, before others there; False: without the priority."""
    subprocess.run(["taskset", "-acp", str(FEEDER_CORE), str(pid)], check=True, capture_output=True)
    fifo = subprocess.run(["chrt", "-f", "-a", "-p", "10", str(pid)], check=False, capture_output=True)
    return fifo.returncode == 0


async def main(rate: float, seconds: float) -> None:  # noqa: PLR0915  # one run, from top to bottom
    os.sched_setaffinity(0, {OTHERS_CORE})
    folder_of = captures_folder() / "captures"
    chosen = [each for each in plan(captures_folder()) if each.venue != VENUE]
    chosen.append(Played(VENUE, (str(folder_of / "binance_coinm" / "coinm_2021-07-22.jsonl.gz"),)))
    exchanges, net = Exchanges(), Net.pick()
    port, health = free_port(socket.SOCK_STREAM), free_port(socket.SOCK_STREAM)
    words = [sys.executable, "-m", "benchmarks.load_exchange", str(port), str(rate), str(seconds)]
    loader = await asyncio.create_subprocess_exec(
        *words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, limit=1 << 28
    )
    result: dict[str, Any] = {"revision": revision(), "machine": machine(), "rate_wanted": rate}
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            await exchanges.start(chosen, 1, 1e9, folder)
            assert await line_of(loader) == "ready"
            config = merged(chosen, folder, health)
            coinm = load(folder / f"{VENUE}.toml", {}).venues[VENUE]
            coinm = msgspec.structs.replace(
                coinm, ws_url=f"ws://127.0.0.1:{port}", channels=("depth", "aggTrade")
            )
            config = msgspec.structs.replace(config, venues=config.venues | {VENUE: coinm})
            path = folder / "latency.toml"
            path.write_text(render(config), encoding="utf-8")
            with Child(folder, "run", "--config", path, **net.environment()) as feeder:
                pin(feeder.pid)
                assert await line_of(loader) == "subscribed", feeder.err[-2000:]
                end, waiting = time.monotonic() + LIVE_S, True
                while waiting and time.monotonic() < end:
                    await asyncio.sleep(1)
                    assert feeder.running, feeder.err[-3000:]
                    told = json.loads(await asyncio.to_thread(read, health, "/health"))["venues"]
                    waiting = len(told) < len(chosen) or any(
                        each["books_live"] < each["books"]
                        for venue, each in told.items()
                        if venue != "bithumb_legacy"
                    )
                result["feeder_fifo"] = pin(feeder.pid)  # threads that began since, too
                result["venues"] = {
                    venue: [each["books_live"], each["books"]] for venue, each in told.items()
                }
                result["load_start"] = load_values(load_now())
                async with net.subscriber(types={"book"}, timeout=None) as sub:
                    arrived: dict[tuple[int, int], int] = {}

                    async def listen() -> None:
                        async for batch in sub.batches():
                            rows = batch.events
                            mine = rows[(rows["venue"] == 3) & (rows["kind"] == 0x10)]
                            for number, seq, rx in zip(
                                mine["instrument"].tolist(),
                                mine["source_seq"].tolist(),
                                mine["rx_ts"].tolist(),
                                strict=True,
                            ):
                                arrived.setdefault((number, seq), rx)

                    listening = asyncio.create_task(listen())
                    await asyncio.sleep(2)
                    before, cpu, begun = read(health, "/metrics"), cpu_s(feeder.pid), time.monotonic()
                    assert loader.stdin is not None
                    loader.stdin.write(b"\n")
                    sent = json.loads(await line_of(loader))
                    after, took = await asyncio.to_thread(read, health, "/metrics"), time.monotonic() - begun
                    result["feeder_cpu_s"] = round(cpu_s(feeder.pid) - cpu, 2)
                    await asyncio.sleep(1)
                    numbers = {
                        each.native_symbol: each.instrument
                        for each in sub.instruments()
                        if each.venue == VENUE
                    }
                    counters = sub.counters()
                    assert not listening.done(), listening.exception()
                    listening.cancel()
                loader.stdin.write(b"\n")
    finally:
        exchanges.kill()
        loader.kill()
    counts = {bound: count - histogram(before).get(bound, 0.0) for bound, count in histogram(after).items()}
    late = sorted(
        (arrived[numbers[symbol], seq] - at) / 1e3
        for symbol, seq, at in sent["sent"]
        if (numbers[symbol], seq) in arrived
    )
    result |= {
        "load_end": load_values(load_now()),
        "seconds": round(took, 1),
        "loader_rate": round(sent["rate"], 1),
        "messages_per_s": round(max(counts.values()) / took, 1),
        "feeder_p50_us_at_most": quantile(counts, 0.5) * 1e6,
        "feeder_p99_us_at_most": quantile(counts, 0.99) * 1e6,
        "feeder_p999_us_at_most": quantile(counts, 0.999) * 1e6,
        "feeder_part_below_1ms": below(counts, 0.00105),
        "histogram": {f"{bound * 1e6:.0f}": count for bound, count in sorted(counts.items()) if count},
        "sampled": len(late),
        "sample_asked": len(sent["sent"]),
        "sample_us": {
            f"p{part:g}": round(late[int(len(late) * part / 100)], 1) for part in (50, 90, 99, 99.9)
        }
        if late
        else {},
        "consumer": {name: counters[name] for name in counters if "lost" in name or "drop" in name},
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]), float(sys.argv[2])))
