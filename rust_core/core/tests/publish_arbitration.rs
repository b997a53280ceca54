//! Whom a publisher hears on its channel, and when it must fall silent.

use outcrier_core::publish::arbitration::{Arbiter, Cause, Own};
use outcrier_core::wire::auth::Keyring;
use outcrier_core::wire::{self, FrameBuf, Header, NO_RECORDS, flags, msg};

const OURS: u64 = 7;
const THEIRS: u64 = 8;

fn own(session: u32, drill: bool) -> Own {
    Own { channel: 3, session, publisher_id: OURS, drill }
}

fn sealed<T: zerocopy::IntoBytes + zerocopy::Immutable>(header: &Header, root: &T) -> Vec<u8> {
    let mut buf = FrameBuf::default();
    wire::seal(buf.build(header, root, NO_RECORDS), 0, None);
    buf.frame().to_vec()
}

fn beat(session: u32, publisher_id: u64, next_seq: u64, bits: u16) -> Vec<u8> {
    let header = Header { channel_seq: next_seq, flags: bits, ..Header::new(msg::HEARTBEAT, 3, session, 3) };
    sealed(&header, &wire::Heartbeat { publisher_id, ..wire::zeroed() })
}

fn conn(session: u32, seq: u64) -> Vec<u8> {
    let header = Header { channel_seq: seq, ..Header::new(msg::CONN, 3, session, 3) };
    sealed(&header, &wire::zeroed::<wire::Conn>())
}

fn cause(own: Own, frames: &[Vec<u8>]) -> Option<Cause> {
    let mut arbiter = Arbiter::new(None);
    arbiter.begin(own);
    for frame in frames {
        arbiter.on_datagram(frame, 1);
    }
    arbiter.superseded(3).map(|lost| lost.cause)
}

#[test]
fn a_live_publisher_yields_to_a_higher_session_and_to_no_other() {
    let drill = flags::REPLAY;
    assert_eq!(cause(own(50, false), &[conn(51, 9)]), Some(Cause::HigherSession));
    assert_eq!(cause(own(50, false), &[beat(50, THEIRS, 1, 0)]), Some(Cause::SameSession));
    for nothing in [
        vec![conn(49, 9), beat(49, THEIRS, 10, 0)],
        vec![conn(50, 9), beat(50, OURS, 10, 0)], // Our own frames come back to us.
        vec![beat(90, THEIRS, 10, drill), beat(90, THEIRS, 10, flags::TEST), beat(50, THEIRS, 1, drill)],
        vec![vec![0xFB; 90], Vec::new(), b"CONN|X|1|0|1\n".to_vec()],
    ] {
        assert_eq!(cause(own(50, false), &nothing), None, "{nothing:?}");
    }
}

#[test]
fn a_replay_yields_to_every_session_that_is_for_trading() {
    assert_eq!(cause(own(50, true), &[conn(9, 1)]), Some(Cause::BesideLive));
    assert_eq!(cause(own(50, true), &[beat(51, THEIRS, 1, flags::TEST)]), Some(Cause::HigherSession));
    assert_eq!(cause(own(50, true), &[beat(49, THEIRS, 1, flags::TEST)]), None);
}

#[test]
fn what_was_heard_first_stands_and_a_new_session_of_ours_begins_clean() {
    let mut arbiter = Arbiter::new(None);
    arbiter.begin(own(50, false));
    arbiter.on_datagram(&conn(60, 1), 1);
    arbiter.on_datagram(&conn(70, 1), 2);
    assert_eq!(arbiter.superseded(3).unwrap().by, 60);
    arbiter.begin(own(71, false));
    assert_eq!(arbiter.superseded(3), None);
    arbiter.begin(own(69, false));
    assert_eq!(arbiter.superseded(3).unwrap().by, 70, "heard before it began");
    assert_eq!(arbiter.superseded(4), None);
}

#[test]
fn what_is_heard_says_how_far_the_other_one_is() {
    let mut arbiter = Arbiter::new(None);
    arbiter.on_datagram(&beat(60, THEIRS, 11, 0), 5);
    arbiter.on_datagram(&conn(60, 12), 6);
    arbiter.on_datagram(&conn(60, 11), 7); // Line A may reorder.
    arbiter.on_datagram(&conn(40, 900), 8); // A zombie is not the one to follow.
    let heard = arbiter.heard(3, 7).unwrap();
    assert_eq!((heard.session, heard.last_seq, heard.publisher_id, heard.ended), (60, 12, THEIRS, false));
    assert_eq!(arbiter.heard(3, 8), None, "silent since");
    let header = Header { channel_seq: 13, ..Header::new(msg::SESSION_END, 3, 60, 3) };
    let root = wire::SessionEnd { publisher_id: THEIRS, last_seq: 12, ..wire::zeroed() };
    arbiter.on_datagram(&sealed(&header, &root), 9);
    let heard = arbiter.heard(3, 9).unwrap();
    assert_eq!((heard.last_seq, heard.ended), (12, true));
}

#[test]
fn with_keys_a_stranger_silences_nobody() {
    let keys = Keyring::parse(&"ab".repeat(32)).unwrap();
    let signer = keys.signer(3, 60);
    let mut arbiter = Arbiter::new(Some(keys));
    arbiter.begin(own(50, false));
    arbiter.on_datagram(&conn(60, 1), 1);
    assert_eq!((arbiter.superseded(3), arbiter.unauthentic()), (None, 1));
    let header = Header { channel_seq: 1, flags: flags::AUTH, ..Header::new(msg::CONN, 3, 60, 3) };
    let mut buf = FrameBuf::default();
    wire::seal(buf.build(&header, &wire::zeroed::<wire::Conn>(), NO_RECORDS), 0, Some(&signer.key));
    arbiter.on_datagram(buf.frame(), 2);
    assert_eq!(arbiter.superseded(3).unwrap().cause, Cause::HigherSession);
}
