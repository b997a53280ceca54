//! Events of an exchange that are too long for one frame: what says that they are over, on real messages.

mod es_orders;
mod frames;
mod shape_support;

use std::collections::HashSet;

use outcrier_core::publish::Plane;
use outcrier_core::wire::{self, Message, checksum_kind, flags};

const MESSAGES: usize = 3_000;

#[test]
fn only_the_last_part_of_an_event_ends_it_and_has_the_checksum() {
    let Some(sent) = frames::session(None, false, MESSAGES, None) else { return };
    let (mut events, mut split, mut checksums) = (0, 0, 0);
    let mut open: Option<(u64, i64, u32)> = None;
    for frame in sent.iter().filter(|sent| sent.plane == Plane::Incremental) {
        let frame = wire::check(&frame.bytes).unwrap();
        let header = frame.header;
        let Message::BookDelta(root, records) = frame.message() else {
            assert!(
                open.is_none() || header.instrument == 0,
                "something of the instrument between two parts"
            );
            continue;
        };
        let about = (header.source_seq, header.exchange_ts, header.instr_seq);
        if let Some((source_seq, exchange_ts, instr_seq)) = open {
            assert_eq!(
                about,
                (source_seq, exchange_ts, instr_seq + 1),
                "parts of one event follow each other"
            );
            split += 1;
        }
        let is_last = header.has(flags::EVENT_END);
        assert!(
            is_last || root.checksum_kind == checksum_kind::NONE,
            "a checksum of a book that is half done"
        );
        assert!(is_last || !header.has(flags::CROSSED));
        assert!(is_last || records.len() == wire::levels_per_frame(24, false), "a part that is not full");
        checksums += usize::from(root.checksum_kind != checksum_kind::NONE);
        events += usize::from(is_last);
        open = (!is_last).then_some(about);
    }
    assert_eq!(open, None, "an event without an end");
    let changes: HashSet<_> = sent
        .iter()
        .filter_map(|sent| {
            let frame = wire::check(&sent.bytes).unwrap();
            matches!(frame.message(), Message::BookDelta(..)).then_some(frame.header.source_seq)
        })
        .collect();
    assert_eq!(events, changes.len(), "one end for each event");
    assert!(split > 10 && checksums > 10, "{split} parts beyond the first, {checksums} checksums");
}
