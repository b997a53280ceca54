"""The parts of README.md and docs/venues.md that follow from the venues and from the captures that there are:
`python tests/venue_doc.py` writes them anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from conftest import ROOT, captures_folder
from outcrier.capture.venue_facts import VenueFacts, facts_of
from outcrier.cli.venues import keepalive, limits
from outcrier.venues import VENUES
from outcrier.views import BOOK_PROOFS, named

BLOCK = re.compile(r"(?<=<!-- venues -->\n).*(?=<!-- /venues -->)", re.DOTALL)
"""What stands between the markers of a document."""


EXCHANGES = [venue for venue in VENUES.values() if not venue.simulation]
"""What the documents tell of: a simulation is no exchange, and docs/sim.md has its protocol."""


def table(facts: Iterable[VenueFacts]) -> str:
    """README's: one line a venue."""
    rows = [
        (
            "venue",
            "book proved by",
            "limits of an address",
            "keepalive",
            "on recorded data",
            "on documentation",
        ),
        ("---",) * 6,
    ]
    for each in facts:
        dates = f" ({', '.join(each.captured)})" if each.captured else ""
        rows.append(
            (
                f"`{each.venue}`" + (" (old dialect)" if each.old_dialect else ""),
                proof(each),
                ", ".join(limits(each.limits)),
                ", ".join(keepalive(each.keepalive)),
                f"{', '.join(each.recorded())}{dates}" or "-",
                ", ".join([*each.sampled(), *each.documented()]) or "-",
            )
        )
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def proof(each: VenueFacts) -> str:
    told = [named(BOOK_PROOFS, each.book_proof)]
    told += [each.rule] if each.book_proof & 1 else []
    told += [each.checksum] if each.checksum else []
    return ": ".join((told[0], ", ".join(told[1:]))) if told[1:] else told[0]


def details(facts: Iterable[VenueFacts]) -> str:
    """Of docs/venues.md: a section a venue."""
    return "".join(f"\n### {each.venue}\n\n{_list(_details(each))}" for each in facts) + "\n"


def _list(lines: Iterable[str]) -> str:
    return "".join(f"* {line}\n" for line in lines)


def _details(each: VenueFacts) -> Iterator[str]:
    yield f"{each.exchange} {each.product}, after the documentation of {each.documentation}."
    if each.old_dialect:
        yield f"**Old dialect**: {each.old_dialect}."
    checksum = each.checksum or "none"
    whole = "REST, on request" if each.book_from == "REST" else "in the stream, on subscription"
    proved = named(BOOK_PROOFS, each.book_proof)
    yield f"Book: {proved}; rule: {each.rule}; checksum: {checksum}; whole: {whole}."
    yield f"Aggressor: {each.aggressor}."
    yield f"Limits: {', '.join(limits(each.limits))}; {', '.join(keepalive(each.keepalive))}."
    counts = [f"{one.name} {one.recorded:,}" for one in each.channels if one.recorded]
    files = ", ".join(f"`{name}`" for name in each.captures)
    yield f"Recorded, with messages: {', '.join(counts)}. In {files}." if counts else "Recorded: nothing."
    if sampled := each.sampled():
        yield f"Only on single messages of the documentation: {', '.join(sampled)}."
    if documented := each.documented():
        yield f"Only after the documentation's text: {', '.join(documented)}."
    if closed := each.closed():
        yield f"Offered with the key of an account (`key_file`): {', '.join(closed)}."


DOCUMENTS = {"README.md": table, "docs/venues.md": details}


def written(path: Path) -> str:
    """The block of a document as it stands."""
    found = BLOCK.search(path.read_text())
    assert found is not None, f"{path}: no <!-- venues --> and <!-- /venues -->"
    return found[0]


if __name__ == "__main__":
    FACTS = [facts_of(venue, captures_folder()) for venue in EXCHANGES]
    for name, block in DOCUMENTS.items():
        text = (ROOT / name).read_text()
        (ROOT / name).write_text(BLOCK.sub(lambda _, block=block: block(FACTS), text))  # type: ignore[misc]
