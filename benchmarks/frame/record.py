"""The record of a session: one JSON file, and the same as tables to read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.frame.machine import Load, load_now, load_values, machine, revision, versions
from benchmarks.frame.measure import Results
from benchmarks.frame.rows import OURS, Verdict, judge


@dataclass(frozen=True)
class Session:
    """How a record was made."""

    rounds: int
    seed: int
    command: str
    started: Load
    name: str
    """Tells a record of some rows from that of all; empty for the latter."""
    floors: str | None
    """Why the floor programs were not built; None if they were."""
    failed: tuple[str, ...]
    """Cases that failed in some round: such a record is named so, and their bars are not in it."""
    left_out: tuple[str, ...]
    """Cases that were not measured, with the reason."""


def record_of(results: Results, session: Session) -> dict[str, Any]:
    """The record as plain values."""
    rows = []
    for (name, on), cases in sorted(results.values.items()):
        row = results.rows[name]
        verdicts = [asdict(each) | {"met": each.is_met} for each in judge(row, cases)]
        told = {
            case: {"median": median(values), "rounds": values, **results.extras.get((name, on, case), {})}
            for case, values in sorted(cases.items(), key=lambda case: (case[0] != OURS, case[0]))
        }
        rows.append(
            {"row": name, "on": on, "unit": row.unit, "note": row.note, "bars": verdicts, "cases": told}
        )
    return {
        "revision": revision(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": f"pytest {session.command}",
        "rounds": session.rounds,
        "seed": session.seed,
        "machine": machine(),
        "load": {"start": load_values(session.started), "end": load_values(load_now())},
        "versions": versions(),
        "floors": session.floors or "built",
        "failed": session.failed,
        "left_out": session.left_out,
        "rows": rows,
    }


def write_record(folder: Path, results: Results, session: Session) -> Path:
    """Writes DATE-REVISION[-NAME].json and .md below `folder` and gives the path of the latter."""
    record = record_of(results, session)
    folder.mkdir(parents=True, exist_ok=True)
    marks = f"-{session.name}" * bool(session.name)
    marks += "-changed" * record["revision"]["is_changed"] + "-failed" * bool(session.failed)
    stem = f"{record['date'][:10]}-{record['revision']['commit'][:8]}{marks}"
    (folder / f"{stem}.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    path = folder / f"{stem}.md"
    path.write_text(markdown(record))
    return path


def number(value: float) -> str:
    """Three digits that count, no exponent."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:#.3g}"


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = ["---"] * len(head)
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, rule, *lines]) + "\n"


def _bar_lines(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    lines = []
    for row in rows:
        cases = row["cases"]
        for told in row["bars"]:
            verdict = Verdict(**{key: value for key, value in told.items() if key != "met"})
            ours = cases[OURS]["median"]
            peer = "" if verdict.peer is None else number(cases[verdict.peer]["median"])
            missed = "missed" if verdict.peer is None else f"missed by {verdict.missed_by:.0%}"
            lines.append(
                [
                    row["row"],
                    row["on"],
                    f"{number(ours)} {row['unit']}",
                    peer,
                    f"{verdict.ratio:.3g} ({verdict.low:.3g} to {verdict.high:.3g})",
                    verdict.bar,
                    "met" if verdict.is_met else missed,
                ]
            )
    return lines


def _case_lines(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    lines = []
    for row in rows:
        ours = row["cases"].get(OURS, {}).get("median")
        for case, told in row["cases"].items():
            value = told["median"]
            times = "" if not ours else f"{value / ours:.2f}"
            spread = f"{number(min(told['rounds']))} to {number(max(told['rounds']))}"
            more = ", ".join(f"{key} {told[key]}" for key in told if key not in {"median", "rounds"})
            lines.append([row["row"], row["on"], case, f"{number(value)} {row['unit']}", spread, times, more])
    return lines


def markdown(record: Mapping[str, Any]) -> str:
    """The record as a page."""
    where, load = record["machine"], record["load"]
    rows = record["rows"]
    changed = " with local changes" if record["revision"]["is_changed"] else ""
    facts = [
        f"revision {record['revision']['commit']}{changed}, {record['date']}",
        f"`{record['command']}`: median of {record['rounds']} rounds, shuffled by seed {record['seed']}",
        ", ".join(
            [
                where["cpu"],
                f"{where['cores']} cores",
                f"{where['memory_mib']} MiB",
                where["system"],
                f"kernel {where['kernel']}",
            ]
        ),
        f"load {load['start']} at the start, {load['end']} at the end",
        f"floor programs: {record['floors']}",
        *(f"FAILED: {each}" for each in record["failed"]),
        *(f"not measured: {each}" for each in record["left_out"]),
        "versions: " + ", ".join(f"{name} {version}" for name, version in record["versions"].items()),
    ]
    notes = {row["row"]: row["note"] for row in rows if row["note"]}
    return "\n".join(
        [
            "# Record\n",
            *(f"* {fact}" for fact in facts),
            "\n## Bars\n",
            "Ratios are medians of the ratios of the rounds, lowest and highest in brackets.\n",
            table(["what", "on", "ours", "peer", "ratio", "bar", ""], _bar_lines(rows)),
            "## Everything measured\n",
            table(["what", "on", "case", "median", "rounds", "to ours", "more"], _case_lines(rows)),
            "## How\n",
            *(f"* {name}: {note}" for name, note in notes.items()),
            "",
        ]
    )
