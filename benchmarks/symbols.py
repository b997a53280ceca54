"""1,000 symbols at replay speed beside 10: memory and CPU a message of the feeder, told as JSON. A program.

    PYTHONPATH=.:python:tests python -m benchmarks.symbols SECONDS [SECONDS_OF_TEN]

The feeder is `outcrier run`; stand-ins in other processes play the same captures, once under many names and
once under the recorded ones, faster, so that both feeders get about as many messages a second. Books by REST
are few enough that the weight of the venues allows them within two minutes.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.frame.machine import load_now, load_values, machine, revision
from conftest import captures_folder
from outcrier.config import render
from soak.plan import Played
from soak.run import Exchanges, cpu_s, merged, resident_bytes
from sockets import Child, Net
from workers import free_port

LIVE_S: Final = 300.0
SAMPLE_S: Final = 5.0
NO_FAULTS_S: Final = 1e9

PLAYED: Final = (
    ("binance", ("binance/spot_nexousdt_2024-07-23", "binance/spot_nexousdt_2024-07-24"), 179, 1.0),
    ("binance_usdm", ("binance_usdm/usdm_btcusdt_2024-08-08",), 1, 1.0),
    ("binance_coinm", ("binance_coinm/coinm_btcusd_perp_2024-08-08",), 1, 1.0),
    ("bybit", ("bybit/v5_spot_2026-08-09",), 39, 1.0),
    ("upbit", ("upbit/spot_2021-04-17",), 184, 1.0),
)
"""Venue, captures, copies, speed: 1,004 symbols."""

TEN: Final = (
    ("binance_usdm", ("binance_usdm/usdm_btcusdt_2024-08-08",), 1, 1.0),
    ("binance_coinm", ("binance_coinm/coinm_btcusd_perp_2024-08-08",), 1, 1.0),
    ("bybit", ("bybit/v5_spot_2026-08-09",), 0, 40.0),
    ("upbit", ("upbit/spot_2021-04-17",), 0, 185.0),
)
"""The same for 10 symbols."""


def read(port: int, path: str) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
            body: str = answer.read().decode()
            return body
    except urllib.error.HTTPError as error:
        return str(error.read().decode())


def sample(port: int, pid: int) -> dict[str, float]:
    sums: dict[str, float] = {}
    for line in read(port, "/metrics").splitlines():
        if line.startswith(
            (
                "outcrier_feed_frames_in_total{",
                "outcrier_feed_went_stale_total{",
                "outcrier_feed_faults_total{",
            )
        ):
            name = line.partition("{")[0]
            sums[name] = sums.get(name, 0.0) + float(line.rpartition(" ")[2])
    return {
        "t": time.time(),
        "cpu_s": cpu_s(pid),
        "messages": sums.get("outcrier_feed_frames_in_total", 0.0),
        "went_stale": sums.get("outcrier_feed_went_stale_total", 0.0),
        "faults": sums.get("outcrier_feed_faults_total", 0.0),
        "resident_mib": resident_bytes(pid) / 2**20,
    }


async def measured(played: Any, seconds: float) -> dict[str, Any]:
    """One run: samples from the moment that every book is live."""
    captures = captures_folder() / "captures"
    plan = [
        Played(venue, tuple(str(captures / f"{name}.jsonl.gz") for name in names), copies, speed)
        for venue, names, copies, speed in played
    ]
    exchanges, net, port = Exchanges(), Net.pick(), free_port(socket.SOCK_STREAM)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            await exchanges.start(plan, 1, NO_FAULTS_S, folder)
            config = folder / "symbols.toml"
            config.write_text(render(merged(plan, folder, port)), encoding="utf-8")
            with Child(folder, "run", "--config", config, **net.environment()) as feeder:
                begun = time.monotonic()
                health: dict[str, Any] = {}
                while time.monotonic() < begun + LIVE_S:
                    await asyncio.sleep(1)
                    assert feeder.running, feeder.err
                    try:
                        health = json.loads(await asyncio.to_thread(read, port, "/health"))
                    except OSError:
                        continue
                    venues = health["venues"].values()
                    if len(venues) == len(plan) and all(
                        each["books_live"] == each["books"] for each in venues
                    ):
                        break
                live_s = time.monotonic() - begun
                samples = [sample(port, feeder.pid)]
                while samples[-1]["t"] < samples[0]["t"] + seconds:
                    await asyncio.sleep(SAMPLE_S)
                    assert feeder.running, feeder.err[-5000:]
                    samples.append(await asyncio.to_thread(sample, port, feeder.pid))
        finally:
            exchanges.kill()
    first, last = samples[0], samples[-1]
    messages = last["messages"] - first["messages"]
    each = [
        (b["cpu_s"] - a["cpu_s"]) / (b["messages"] - a["messages"]) * 1e6
        for a, b in zip(samples, samples[6:], strict=False)
        if b["messages"] > a["messages"]
    ]
    return {
        "symbols": sum(len(told["symbols"]) for told in exchanges.told if "symbols" in told),
        "live_after_s": round(live_s, 1),
        "health": health.get("status"),
        "books": {name: [each["books_live"], each["books"]] for name, each in health["venues"].items()},
        "seconds": round(last["t"] - first["t"], 1),
        "messages": messages,
        "messages_per_s": round(messages / (last["t"] - first["t"]), 1),
        "cpu_us_per_message": round((last["cpu_s"] - first["cpu_s"]) / messages * 1e6, 2),
        "cpu_us_per_message_30s": [round(min(each), 2), round(median(each), 2), round(max(each), 2)],
        "resident_mib": [round(each["resident_mib"], 1) for each in samples],
        "went_stale": last["went_stale"] - first["went_stale"],
        "faults": last["faults"],
    }


def main(seconds: float, ten: float) -> None:
    start = load_now()
    result: dict[str, Any] = {"revision": revision(), "machine": machine(), "load_start": load_values(start)}
    result["thousand"] = asyncio.run(measured(PLAYED, seconds))
    print(json.dumps(result), flush=True)
    result["ten"] = asyncio.run(measured(TEN, ten))
    result["load_end"] = load_values(load_now())
    result["cpu_ratio"] = round(
        result["thousand"]["cpu_us_per_message"] / result["ten"]["cpu_us_per_message"], 3
    )
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 60.0)
