#!/usr/bin/env python3
"""Deliberate bugs in receiver and publisher, and which tests notice each.

Every mutant is one change of a text that must be there exactly once, made in a copy of the tree with a target
folder of its own. A mutant that no test notices fails the run, and so does one whose text is gone.

    python .ci/mutants.py [--ci] [--seeds N] [NAME ...]
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "target" / "mutants"
# A mutant may make a test run for ever; without one each takes a few seconds.
TIMEOUT_S = 120
CORE = "rust_core/core/src/"
# By name: the binary and what of it. Seeds first; the rows of times and volumes only where no seed noticed.
TESTS = {
    "seeds": ("sim", "seeds"),
    "rows": ("sim", "rows::"),
    "states": ("receive_states", ""),
    "recovery": ("receive_recovery", ""),
    "publish": ("publish", ""),
    "events": ("feed_events", ""),
    "orders": ("receive_orders", ""),
    "told orders": ("publish_orders", ""),
    "store": ("retransmit_store", ""),
    "server": ("retransmit_server", ""),
}


@dataclass(frozen=True)
class Mutant:
    """One bug."""

    name: str
    path: str
    old: str
    new: str
    # Runs in CI, where all of them would take too long.
    ci: bool = False


MUTANTS = (
    Mutant(
        "receiver ignores instrument gaps",
        "receive/instrument.rs",
        "is_known && at == self.next && !self.needs_snapshot",
        "is_known && at >= self.next && !self.needs_snapshot",
        ci=True,
    ),
    Mutant(
        "off by one where a snapshot is cut",
        "feed/instrument.rs",
        "        let mut about = self.standing(self.exchange_ts);\n        let mut next",
        "        let mut about = self.standing(self.exchange_ts);\n"
        "        about.instr_seq = about.instr_seq.wrapping_add(1);\n        let mut next",
        ci=True,
    ),
    Mutant(
        "frames of an older session are accepted",
        "receive/channel/line.rs",
        "            cx.counters.old_session += 1;\n            return false;",
        "            cx.counters.old_session += 1;\n            return true;",
        ci=True,
    ),
    Mutant(
        "chain64 is not compared",
        "receive/chain.rs",
        "        if value == claimed {",
        "        if value == claimed || claimed != 0 {",
    ),
    Mutant(
        "W never expires",
        "receive/missing.rs",
        "        self.due_ns = self.due_ns.min(now_ns.saturating_add(wait_ns));\n    }",
        "        let _ = wait_ns;\n    }",
    ),
    Mutant(
        "a loss is not announced",
        "receive/instrument.rs",
        "            self.announce_lost(covered - self.next + 1, counters, sink);",
        "            let _ = &counters;",
        ci=True,
    ),
    Mutant(
        "RESET is ignored",
        "receive/staged.rs",
        "            self.reset = true;",
        "            self.reset = false;",
    ),
    Mutant(
        "a change that does not fit the orders is passed over",
        "receive/orders.rs",
        "ops.try_for_each(|op| orders.book.apply(&op, ts).map(drop)).map_err(Broken::from)",
        "ops.try_for_each(|op| orders.book.apply(&op, ts).map(drop).or(Ok(())))",
    ),
    Mutant(
        "the orders of a group are not taken over",
        "receive/mirror.rs",
        "        self.take_orders(books.orders);",
        "        drop(books.orders);",
    ),
    Mutant(
        "orders are not forgotten with the book",
        "feed/flow.rs",
        "            orders.forget();",
        "            let _ = orders;",
    ),
    Mutant(
        "holds are drained across a hole",
        "receive/instrument.rs",
        "            if at > self.next {\n                break;",
        "            if at > self.next + 1 {\n                break;",
    ),
    Mutant(
        "UNSURE is confirmed too early",
        "receive/instrument.rs",
        "Reception::Unsure => self.last_channel_seq > shared.gap_number,",
        "Reception::Unsure => self.last_channel_seq > 0,",
    ),
    Mutant(
        "UNSURE is never confirmed",
        "receive/instrument.rs",
        "Reception::Unsure => self.last_channel_seq > shared.gap_number,",
        "Reception::Unsure => self.last_channel_seq > u64::MAX - 1,",
    ),
    Mutant(
        "a give-up forgets the gap number",
        "receive/channel/repair.rs",
        "        self.shared.gap_number = self.shared.gap_number.max(given.highest);",
        "        self.shared.gap_number = self.shared.gap_number.max(0);",
    ),
    Mutant(
        "an instrument's duplicate is applied",
        "receive/instrument.rs",
        "instrument_duplicates += 1;\n            return;\n        }\n        self.heard",
        "instrument_duplicates += 1;\n            self.take(at, frame, came, shared, counters, sink);\n"
        "            return;\n        }\n        self.heard",
    ),
    Mutant(
        "a number that came on A is taken again on B",
        "receive/numbers.rs",
        "            return if known == crc { Heard::Duplicate { copy } } else { Heard::Different };",
        "            return if copy { Heard::Late(None) } else { Heard::Duplicate { copy } };",
    ),
    Mutant(
        "last_channel_seq says one more than is included",
        "feed/fragments.rs",
        "            last_channel_seq,\n            book_checksum",
        "            last_channel_seq: last_channel_seq + 1,\n            book_checksum",
    ),
    Mutant(
        "a heartbeat carries the last number instead of the next",
        "publish.rs",
        "self.unnumbered(host, msg::HEARTBEAT, self.next_seq, &root, NO_RECORDS);",
        "self.unnumbered(host, msg::HEARTBEAT, self.next_seq - 1, &root, NO_RECORDS);",
    ),
    Mutant(
        "SESSION_END is ignored",
        "receive/channel/line.rs",
        "                self.session.ended = true;",
        "                self.session.ended = false;",
    ),
    Mutant(
        "silence is never noticed",
        "receive/channel/mod.rs",
        "            self.session.dead = true;",
        "            self.session.dead = false;",
    ),
    Mutant(
        "a snapshot overwrites a LIVE book",
        "receive/instrument.rs",
        "        if reception == Reception::Live || is_behind {",
        "        if is_behind {",
    ),
    Mutant(
        "a group with a hole is taken for whole",
        "receive/plane.rs",
        "                self.contiguous_from = seq;\n                self.drop_group();",
        "                self.contiguous_from = seq;",
    ),
    Mutant(
        "a second publisher in a session is not noticed",
        "receive/channel/line.rs",
        "            self.session.split = true;\n        }\n        known == publisher_id",
        "            self.session.split = false;\n        }\n        true",
    ),
    Mutant(
        "different bytes under one number are a duplicate",
        "receive/channel/line.rs",
        "                cx.counters.different_bytes += 1;\n                self.session.split = true;",
        "                cx.counters.duplicates += 1;",
    ),
    Mutant(
        "a split event is applied part by part",
        "feed/fragments.rs",
        "part + 1 == frames)",
        "part + 1 <= frames)",
    ),
    Mutant(
        "a give-up leaves the books LIVE",
        "receive/instrument.rs",
        "            self.settle(Reception::Unsure, reason::GIVEN_UP, shared, sink);",
        "            let _ = (shared, sink);",
        ci=True,
    ),
    Mutant(
        "a request names the number behind the missing one",
        "receive/requester/mod.rs",
        "self.ranges.push(RetxRange { begin_seq: seq, n_frames: 1, reserved: 0 });",
        "self.ranges.push(RetxRange { begin_seq: seq + 1, n_frames: 1, reserved: 0 });",
        ci=True,
    ),
    Mutant(
        "a consumer ignores the cookie",
        "receive/requester/mod.rs",
        "            server.cookie = reply.cookie;",
        "            server.cookie = 0;",
    ),
    Mutant(
        "a server asks nobody for a cookie",
        "retransmit/cookie.rs",
        "        cookie != 0 && (cookie == self.of(from, period) || Some(cookie) == before)",
        "        cookie == 0 || cookie == self.of(from, period) || Some(cookie) == before",
    ),
    Mutant(
        "a server sends the frame before the one asked for",
        "retransmit/store.rs",
        "        let index = usize::try_from(seq.checked_sub(lane.first_seq)?).ok()?;\n"
        "        let position = *lane.positions.get(index)?;",
        "        let index = usize::try_from(seq.checked_sub(lane.first_seq + 1)?).ok()?;\n"
        "        let position = *lane.positions.get(index)?;",
    ),
    Mutant(
        "a server answers for any session with its own",
        "retransmit/store.rs",
        "        let lane = self.lane(channel).filter(|lane| lane.session == session)?;",
        "        let lane = self.lane(channel).filter(|lane| lane.session >= session.min(1))?;",
    ),
    Mutant(
        "a server sends every asker a copy of its own",
        "retransmit/server/answer.rs",
        "self.scratch.ends.push((self.scratch.bytes.len(), way == Way::Repair));",
        "self.scratch.ends.push((self.scratch.bytes.len(), false));",
    ),
    Mutant(
        "a higher session wins at once",
        "receive/channel/line.rs",
        "            if !authenticated {\n                return false;",
        "            if authenticated {\n                return false;",
    ),
    Mutant(
        "own drops do not stop requests",
        "receive/overrun.rs",
        "        now_ns < self.until_ns",
        "        now_ns < self.until_ns.min(1)",
    ),
    Mutant(
        "a wrong MAC is taken",
        "receive/trust.rs",
        "            Ok(_) => return Some(true),",
        "            Ok(_) | Err(Unauthentic::Wrong) => return Some(true),",
    ),
)


def copy_tree() -> None:
    """Brings the copy up to date; files that did not change keep their time, so little is built again."""
    found = (path for path in (ROOT / "rust_core").rglob("*") if path.is_file())
    folders = [path.relative_to(ROOT) for path in found if "target" not in path.parts[len(ROOT.parts) :]]
    wanted = [Path("Cargo.toml"), Path("Cargo.lock"), *folders]
    tree = WORK / "tree"
    for name in wanted:
        source, target = ROOT / name, tree / name
        if not target.is_file() or target.read_bytes() != source.read_bytes():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    known = set(wanted)
    for target in list(tree.rglob("*")):
        if target.is_file() and target.relative_to(tree) not in known:
            target.unlink()


def cargo(arguments: list[str], seeds: int, timeout_s: int | None = None) -> int | None:
    """Status of a test run in the copy; `None`: it did not end."""
    data = os.environ.get("OUTCRIER_DATA", str(ROOT.parent / "shared" / "data"))
    settings = {
        "OUTCRIER_DATA": str(Path(data).resolve()),
        "OUTCRIER_SIM_SEEDS": str(seeds),
        "CARGO_TARGET_DIR": str(WORK / "target"),
        "RUST_BACKTRACE": "0",
    }
    command = ["cargo", "test", "--locked", "--quiet", "--package", "outcrier-core", *arguments]
    with (WORK / "output").open("wb") as output:
        # A group of its own: what cargo starts must not outlive it.
        started = subprocess.Popen(
            command,
            cwd=WORK / "tree",
            env=os.environ | settings,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            return started.wait(timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGKILL)
            started.wait()
            return None


def build() -> bool:
    """Builds all that is run."""
    binaries = sorted({binary for binary, _ in TESTS.values()})
    arguments = [part for binary in binaries for part in ("--test", binary)]
    return cargo(["--no-run", *arguments], 0) == 0


def notices(seeds: int) -> list[str]:
    """Names of the tests that fail or never end."""
    failed: list[str] = []
    for name, (binary, part) in TESTS.items():
        if name == "rows" and failed:
            continue
        if cargo(["--test", binary, *([part] if part else [])], seeds, TIMEOUT_S) != 0:
            failed.append(name)
    return failed


def try_mutant(mutant: Mutant, seeds: int) -> list[str]:
    """Names of the tests that notice the bug."""
    path = WORK / "tree" / CORE / mutant.path
    text = path.read_text()
    if text.count(mutant.old) != 1:
        raise SystemExit(f"{mutant.name}: its text is {text.count(mutant.old)} times in {CORE}{mutant.path}")
    path.write_text(text.replace(mutant.old, mutant.new))
    try:
        if not build():
            raise SystemExit(f"{mutant.name}: does not compile\n{(WORK / 'output').read_text()}")
        return notices(seeds)
    finally:
        path.write_text(text)


def main() -> None:
    """Prints the table, and fails if a mutant lives."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ci", action="store_true", help="only the mutants that CI runs")
    parser.add_argument(
        "--seeds", type=int, default=400, help="seeds of the simulation (default %(default)s)"
    )
    parser.add_argument("names", nargs="*", help="parts of the names of the mutants to run (default: all)")
    args = parser.parse_args()
    chosen = [
        mutant
        for mutant in MUTANTS
        if (mutant.ci or not args.ci) and (not args.names or any(name in mutant.name for name in args.names))
    ]
    copy_tree()
    if not build():
        raise SystemExit((WORK / "output").read_text())
    if unchanged := notices(args.seeds):
        raise SystemExit(f"the tests fail without a mutant: {', '.join(unchanged)}")
    living = 0
    width = max(len(mutant.name) for mutant in chosen)
    for mutant in chosen:
        killers = try_mutant(mutant, args.seeds)
        living += not killers
        print(f"{mutant.name:<{width}}  {', '.join(killers) or 'LIVES'}", flush=True)
    if living:
        raise SystemExit(f"{living} of {len(chosen)} mutants live")
    print(f"all {len(chosen)} mutants are killed")


if __name__ == "__main__":
    main()
