"""What the counters of the core mean, for the HELP lines of /metrics. Every counter that the core gives
stands here (a test sees to it), so that a new one gets its words.
"""

from __future__ import annotations

from typing import Final

FEED: Final = {
    "frames_in": "Frames of the exchange taken.",
    "bytes_in": "Bytes of the frames of the exchange taken.",
    "for_python": "Frames no shape takes: control messages and unknown ones.",
    "faults": "Frames of the exchange refused; the last ones are kept.",
    "gaps": "Gaps in the numbers of the exchange.",
    "old_events": "Book events already covered by what was applied.",
    "held": "Book events held while a snapshot was under way.",
    "held_dropped": "Held book events dropped by the bounds of count or time.",
    "snapshots_used": "Snapshots that became a book.",
    "snapshots_old": "Snapshots older than the held book events.",
    "snapshots_ignored": "Snapshots for a book that was live or is unknown.",
    "went_live": "Times a book became live.",
    "went_stale": "Times a live book became stale.",
    "refined": "Finer exponents taken.",
    "crossed": "Events that left a book crossed, as the exchange sent them.",
    "unknown_instrument": "Frames about instruments that were not added.",
    "exchange_time_off": "Events whose exchange time is far from the time of receipt.",
    "book_events": "Book events published.",
    "trades": "Trades published.",
    "levels": "Levels published.",
    "after_end": "Frames of the exchange that came after the end of the session.",
    "notices_dropped": "Notices of the core that nobody took in time.",
    "heads_moved": "Instruments that consumers had moved to the head of the snapshot cycle.",
    "heads_limited": "Such wishes refused because the instrument had just been moved.",
    "cycles_begun": "Snapshot cycles begun.",
    "cycles": "Snapshot cycles sent whole.",
    "frames": "Frames made on the incremental plane.",
    "frame_bytes": "Bytes of the frames made on the incremental plane.",
    "snapshot_frames": "Frames made on the snapshot plane.",
    "image_frames": "Frames made for images by TCP.",
    "heartbeats": "Heartbeats made.",
    "manifests": "Heartbeats that carry a signature.",
    "packs": "PACK frames made.",
    "packed_messages": "Messages in PACK frames.",
    "wishes_refused": "Images and wishes of consumers that the feed could not serve.",
}
"""Of `Feed.counters()`: `outcrier_feed_NAME_total{venue}`."""

LINE: Final = {
    "frames": "Frames that the kernel took.",
    "bytes": "Bytes of the frames that the kernel took.",
    "sends": "System calls that took frames.",
    "padding_bytes": "Zeros behind shorter frames of a batch.",
    "segment_refused": "Batches that left frame by frame because the kernel did not cut them.",
    "dropped_would_block": "Frames lost: the send buffer was full.",
    "oversize": "Frames lost: longer than the wire allows.",
    "errors": "Frames lost: the kernel refused them.",
}
"""Of `Publisher.counters()`: `outcrier_line_NAME_total{line}`."""

LINES: Final = {"a": "", "b": "line_b_", "text": "text_", "repair": "repair_"}
"""Label of a line, and the prefix that its counters have."""

PUBLISHER: Final = {
    "silenced": "Frames not sent since another publisher took over.",
    "guard_errors": "Times the system refused to tell what other publishers send.",
    "guard_unauthentic": "Frames of others heard without the MAC that our keys ask for.",
    "retransmit_requests": "Requests by UDP.",
    "retransmit_not_a_frame": "Datagrams that are no frame of ours.",
    "retransmit_not_a_request": "Frames that are no request.",
    "retransmit_bad_mac": "Requests whose MAC differs or is missing.",
    "retransmit_need_cookie": "Requests from an address that had not proved itself.",
    "retransmit_unproved_short": "Strangers not answered because they sent less than the answer is long.",
    "retransmit_unproved_limited": "Strangers not answered because their budget was spent.",
    "retransmit_malformed": "Requests that break a rule.",
    "retransmit_bad_session": "Requests for a session or channel that is not to be had.",
    "retransmit_rate_limited": "Requests beyond the budget of a consumer.",
    "retransmit_total_limited": "Requests beyond the budget of all consumers.",
    "retransmit_limited_silent": "Requests beyond a budget that were not even told so.",
    "retransmit_probes": "Requests for nothing: the server lives.",
    "retransmit_answered": "Requests for frames that were looked after.",
    "retransmit_snap_answered": "Requests for state that were looked after.",
    "retransmit_frames_asked": "Numbers asked for.",
    "retransmit_frames_unicast": "Frames sent again to one consumer.",
    "retransmit_frames_repair": "Frames sent again to the repair group.",
    "retransmit_frames_sent_before": "Numbers not sent because the consumer had just been sent them.",
    "retransmit_frames_repaired_before": "Numbers not sent because the group had just been sent them.",
    "retransmit_frames_too_old": "Numbers asked for that are not kept any more.",
    "retransmit_frames_too_new": "Numbers asked for that do not exist yet.",
    "retransmit_frames_archived": "Frames sent again that came from the log.",
    "retransmit_bytes": "Bytes of the frames sent again.",
    "retransmit_snap_wants": "Instruments handed on to go to the head of the snapshot cycle.",
    "retransmit_consumers_evicted": "Consumers forgotten because too many are there.",
    "retransmit_numbers_evicted": "Numbers forgotten early; their next askers count as the first ones.",
    "retransmit_sent": "Answers that the kernel took.",
    "retransmit_dropped_would_block": "Answers lost: the send buffer was full.",
    "retransmit_send_errors": "Answers lost: the kernel refused them.",
    "retransmit_receive_errors": "Times that receiving requests failed.",
    "retransmit_wants_dropped": "Wishes that the feed did not come to.",
    "replay_requests": "Requests by TCP.",
    "replay_not_a_request": "Units by TCP that are no request.",
    "replay_bad_mac": "Requests by TCP whose MAC differs or is missing.",
    "replay_malformed": "Requests by TCP that break a rule.",
    "replay_bad_session": "Requests by TCP for a session or channel that is not to be had.",
    "replay_too_old": "Requests by TCP for numbers that are not kept any more.",
    "replay_too_new": "Requests by TCP for numbers that do not exist yet.",
    "replay_rate_limited": "Requests by TCP beyond a budget.",
    "replay_probes": "Requests by TCP for nothing: the server lives.",
    "replay_replays": "Requests for frames granted by TCP.",
    "replay_images": "Requests for state granted by TCP.",
    "replay_accepted": "Connections taken.",
    "replay_full": "Connections closed at once because too many are open.",
    "replay_accept_errors": "Times that a connection could not be taken.",
    "replay_slow": "Connections closed because the reader was too slow.",
    "replay_fell_behind": "Connections closed because what came next was not kept any more.",
    "replay_refused": "Connections closed because no request came, or one that broke the protocol.",
    "replay_without_image": "Connections closed because the feed gave no image.",
    "replay_broken": "Connections that the system broke.",
    "replay_frames": "Frames handed to connections.",
    "replay_bytes": "Bytes handed to connections.",
    "replay_answers_dropped": "Images dropped because they came faster than connections take them.",
    "log_frames": "Frames in the log of what was published.",
    "log_bytes": "Bytes of the frames in the log.",
    "log_dropped": "Frames that are not in the log.",
    "log_holes": "Holes in the log that say which frames it does not have.",
    "log_unmarked": "Frames that are not in the log and of which no hole tells.",
    "log_write_errors": "Writes of the log that failed.",
    "log_sync_errors": "Syncs of the log that failed.",
    "log_removed_segments": "Segments of the log removed by size or age.",
}
"""Of `Publisher.counters()`, the sums: `outcrier_NAME_total`."""

PUBLISHER_GAUGES: Final = {
    "store_frames": "Frames kept in memory to be sent again.",
    "store_bytes": "Bytes kept in memory to be sent again.",
    "log_queued_bytes": "Bytes that wait for the disk.",
    "log_failing": "1 while the disk of the log refuses.",
    "log_quarantined": "Segments of the log found damaged at the start.",
    "log_kept_segments": "Segments of the log kept.",
    "log_kept_bytes": "Bytes in the segments kept.",
}
"""Of `Publisher.counters()`, what is so now: `outcrier_NAME`."""

LOG_COMMIT: Final = "log_commit_ns_max"
"""Nanoseconds: `outcrier_log_commit_max_seconds`."""
