#!/usr/bin/env python3
"""Deliberate bugs in receiver and publisher, and which tests notice each.

Every mutant is one change of a text that must be there exactly once, made in a copy of the tree with a target folder of
its own. A mutant that no test notices fails the run, and so does one whose text is gone.

    python .ci/mutants.py [--ci] [--seeds N] [NAME ...]
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "target" / "mutants"
# A mutant may make a test run for ever; without one each takes a few seconds.
TIMEOUT_S = 120
CORE = "rust_core/core/src/"
# The simulation first; then what knows the state machine and the numbers row by row.
TESTS = ("sim", "receive_states", "publish")


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
        "        if number != claimed_number {",
        "        if number == claimed_number {",
    ),
    Mutant(
        "W never expires",
        "receive/numbers.rs",
        "            if now_ns < since_ns.saturating_add(window_ns) {",
        "            if window_ns < u64::MAX {",
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
        "receive/mirror.rs",
        "            staged.reset = true;",
        "            staged.reset = false;",
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
        "receive/channel/line.rs",
        "        self.shared.gap_number = self.shared.gap_number.max(given.highest);",
        "        self.shared.gap_number = self.shared.gap_number.max(0);",
    ),
    Mutant(
        "an instrument's duplicate is applied",
        "receive/instrument.rs",
        "        if is_known && at < self.next {\n            counters.instrument_duplicates += 1;\n            return;",
        "        if is_known && at + 1 < self.next {\n            counters.instrument_duplicates += 1;\n            return;",
    ),
    Mutant(
        "a number that came on A is taken again on B",
        "receive/channel/line.rs",
        "                self.sums.duplicates += 1;\n                return;",
        "                self.sums.duplicates += 1;\n                None",
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
        "self.header(msg_type, self.info.channel, self.next_seq, &About::channel(), arrival);\n"
        "        header.flags &=",
        "self.header(msg_type, self.info.channel, self.next_seq - 1, &About::channel(), arrival);\n"
        "        header.flags &=",
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
        "        self.next = Some(first);\n        self.drop_group();",
        "        self.next = Some(first);",
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
        "feed/instrument.rs",
        "            let is_last = part + 1 == frames;",
        "            let is_last = part + 1 <= frames;",
    ),
)


def copy_tree() -> None:
    """Brings the copy up to date; files that did not change keep their time, so that little is built again."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "Cargo.toml", "Cargo.lock", "clippy.toml", "rust_core"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    wanted = [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]
    tree = WORK / "tree"
    for name in wanted:
        source, target = ROOT / name, tree / name
        if not target.is_file() or target.read_bytes() != source.read_bytes():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    for target in list(tree.rglob("*")):
        if target.is_file() and str(target.relative_to(tree)) not in set(wanted):
            target.unlink()


def run(test: str, seeds: int) -> bool | None:
    """Whether the test passes; `None`: it does not compile."""
    data = os.environ.get("OUTCRIER_DATA", str(ROOT.parent / "shared" / "data"))
    settings = {
        "OUTCRIER_DATA": str(Path(data).resolve()),
        "OUTCRIER_SIM_SEEDS": str(seeds),
        "CARGO_TARGET_DIR": str(WORK / "target"),
        "RUST_BACKTRACE": "0",
    }
    command = ["cargo", "test", "--locked", "--quiet", "--package", "outcrier-core", "--test", test]
    built = subprocess.run(
        [*command, "--no-run"], cwd=WORK / "tree", env=os.environ | settings, capture_output=True, text=True
    )
    if built.returncode != 0:
        print(built.stderr, file=sys.stderr)
        return None
    try:
        ran = subprocess.run(
            command, cwd=WORK / "tree", env=os.environ | settings, capture_output=True, timeout=TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        return False
    return ran.returncode == 0


def try_mutant(mutant: Mutant, seeds: int) -> list[str]:
    """Names of the tests that notice the bug."""
    path = WORK / "tree" / CORE / mutant.path
    text = path.read_text()
    if text.count(mutant.old) != 1:
        raise SystemExit(f"{mutant.name}: its text is {text.count(mutant.old)} times in {CORE}{mutant.path}")
    path.write_text(text.replace(mutant.old, mutant.new))
    try:
        passed = {test: run(test, seeds) for test in TESTS}
    finally:
        path.write_text(text)
    if None in passed.values():
        raise SystemExit(f"{mutant.name}: does not compile")
    return [test for test, ok in passed.items() if not ok]


def main() -> None:
    """Prints the table, and fails if a mutant lives."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ci", action="store_true", help="only the mutants that CI runs")
    parser.add_argument("--seeds", type=int, default=400, help="seeds of the simulation (default %(default)s)")
    parser.add_argument("names", nargs="*", help="parts of the names of the mutants to run (default: all)")
    args = parser.parse_args()
    chosen = [
        mutant
        for mutant in MUTANTS
        if (mutant.ci or not args.ci) and (not args.names or any(name in mutant.name for name in args.names))
    ]
    copy_tree()
    unchanged = [test for test in TESTS if not run(test, args.seeds)]
    if unchanged:
        raise SystemExit(f"the tests fail without a mutant: {', '.join(unchanged)}")
    living = 0
    width = max(len(mutant.name) for mutant in chosen)
    for mutant in chosen:
        start = time.monotonic()
        killers = try_mutant(mutant, args.seeds)
        living += not killers
        verdict = ", ".join(killers) or "LIVES"
        print(f"{mutant.name:<{width}}  {time.monotonic() - start:4.0f} s  {verdict}", flush=True)
    if living:
        raise SystemExit(f"{living} of {len(chosen)} mutants live")
    print(f"all {len(chosen)} mutants are killed")


if __name__ == "__main__":
    main()
