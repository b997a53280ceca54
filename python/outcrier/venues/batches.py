"""Streams cut into messages that a venue takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence


def batches(
    streams: Sequence[str], size: Callable[[str], int], *, count_max: int = 0, size_max: int = 0
) -> Iterator[list[str]]:
    """`streams` in order, in lists of at most `count_max` whose sizes make at most `size_max`; 0 = no limit.
    A stream beyond `size_max` has a list of its own.
    """
    batch: list[str] = []
    used = 0
    for stream in streams:
        more = size(stream)
        if batch and (0 < count_max <= len(batch) or 0 < size_max < used + more):
            yield batch
            batch, used = [], 0
        batch.append(stream)
        used += more
    if batch:
        yield batch
