//! Who else is heard on the group, and what may still be sent. On loopback a datagram is in the listener's queue when the
//! send returns, so nothing here waits for anything.

use outcrier_core::publish::arbitration::{Cause, Own};
use outcrier_core::publish::{About, Arrival, Channel, Host, Opening, Plane, SessionInfo};
use outcrier_core::wire::{self, NO_RECORDS, msg};
use outcrier_net::guard::LOOK_EVERY_NS;
use outcrier_net::{Batch, Guard, PublisherConfig, UdpPublisher};

use crate::common::draw;

/// A publisher of one channel over real sockets, its time by hand.
struct Publisher {
    socket: UdpPublisher,
    batch: Batch,
    now_ns: u64,
}

impl Host for Publisher {
    fn send(&mut self, plane: Plane, frame: &[u8]) {
        assert_eq!(plane, Plane::Incremental);
        let socket = &self.socket;
        self.batch.add(outcrier_net::Plane::Incremental, frame, |full| socket.send_batch(full));
    }
    fn flush(&mut self) {
        let socket = &self.socket;
        self.batch.leave(|rest| socket.send_batch(rest));
    }
    fn mono_ns(&self) -> u64 {
        self.now_ns
    }
    fn wall_ns(&mut self) -> i64 {
        1_700_000_000_000_000_000
    }
    fn clock_error_ns(&mut self) -> u32 {
        0
    }
}

impl Publisher {
    fn open(to: &PublisherConfig, session: u32, publisher_id: u64, replay: bool) -> (Self, Channel) {
        let socket = UdpPublisher::open(to).unwrap();
        let mut host = Self { socket, batch: Batch::new(), now_ns: 1 };
        let mut channel = Channel::new(SessionInfo {
            venue: 3,
            channel: 3,
            session,
            publisher_id,
            prev_session: 0,
            reason: 1,
            opening: Opening::default(),
            signer: None,
            replay,
            test: false,
            pack: false,
            build: String::new(),
        });
        channel.start(&mut host, Arrival { recv_ts: 1, mono_ns: 1 });
        host.flush();
        (host, channel)
    }

    /// Many numbered frames, segmented as the feed's are.
    fn flood(&mut self, channel: &mut Channel, frames: u32) {
        for _ in 0..frames {
            let root: wire::Conn = wire::zeroed();
            channel.numbered(
                self,
                Arrival { recv_ts: 1, mono_ns: 1 },
                msg::CONN,
                &About::channel(),
                &root,
                NO_RECORDS,
            );
        }
        self.flush();
    }

    fn beat(&mut self, channel: &mut Channel) {
        self.now_ns += 1_000_000_000;
        channel.tick(self);
        self.flush();
    }
}

fn own(session: u32, publisher_id: u64, drill: bool) -> Own {
    Own { channel: 3, session, publisher_id, drill }
}

const LATER: u64 = LOOK_EVERY_NS;

#[test]
fn our_own_feed_neither_fills_the_queue_nor_silences_us() {
    let to = draw();
    let guard = Guard::open(&to).unwrap();
    guard.begin(own(50, 7, false)).unwrap();
    let (mut host, mut channel) = Publisher::open(&to, 50, 7, false);
    // More than the queue holds, were it kept; what comes behind it must still be heard.
    host.flood(&mut channel, 5_000);
    host.beat(&mut channel);
    assert!(guard.may_send(3, LATER));
    let (_other, _) = Publisher::open(&to, 51, 8, false);
    assert!(guard.may_send(3, LATER), "not looked again so soon");
    assert!(!guard.may_send(3, 2 * LATER));
    let lost = guard.superseded();
    assert_eq!(
        (lost.len(), lost[0].cause, lost[0].by, lost[0].own),
        (1, Cause::HigherSession, 51, own(50, 7, false))
    );
    assert!(guard.may_send(4, 2 * LATER), "other channels go on");
    assert_eq!(guard.errors(), 0);
}

#[test]
fn a_publisher_that_slept_hears_what_came_meanwhile_before_it_sends() {
    let to = draw();
    let guard = Guard::open(&to).unwrap();
    guard.begin(own(50, 7, false)).unwrap();
    assert!(guard.may_send(3, LATER));
    let (mut other, mut channel) = Publisher::open(&to, 60, 8, false);
    other.flood(&mut channel, 10_000); // Two seconds of a busy feed: the queue is long full.
    assert!(!guard.may_send(3, LATER + 2_000_000_000));
}

#[test]
fn a_lower_session_and_a_replay_do_not_concern_a_live_publisher() {
    let to = draw();
    let guard = Guard::open(&to).unwrap();
    guard.begin(own(50, 7, false)).unwrap();
    let (mut zombie, mut channel) = Publisher::open(&to, 49, 8, false);
    zombie.beat(&mut channel);
    let (mut replay, mut channel) = Publisher::open(&to, 70, 9, true);
    replay.beat(&mut channel);
    assert!(guard.may_send(3, LATER));
    assert_eq!(guard.superseded(), []);
}

#[test]
fn a_replay_gives_way_to_any_live_session_and_to_a_higher_replay() {
    for (session, replay, cause) in
        [(49, false, Some(Cause::BesideLive)), (51, true, Some(Cause::HigherSession)), (49, true, None)]
    {
        let to = draw();
        let guard = Guard::open(&to).unwrap();
        guard.begin(own(50, 7, true)).unwrap();
        let (mut other, mut channel) = Publisher::open(&to, session, 8, replay);
        other.beat(&mut channel);
        assert_eq!(guard.may_send(3, LATER), cause.is_none(), "{session} {replay}");
        assert_eq!(guard.superseded().first().map(|lost| lost.cause), cause);
    }
}

#[test]
fn the_same_session_of_another_process_silences_both() {
    let to = draw();
    let guards = [7, 8].map(|publisher_id| {
        let guard = Guard::open(&to).unwrap();
        guard.begin(own(50, publisher_id, false)).unwrap();
        guard
    });
    for publisher_id in [7, 8] {
        let (mut host, mut channel) = Publisher::open(&to, 50, publisher_id, false);
        host.beat(&mut channel);
    }
    for guard in guards {
        assert!(!guard.may_send(3, LATER));
        assert_eq!(guard.superseded()[0].cause, Cause::SameSession);
    }
}

#[test]
fn listening_tells_who_is_there_how_far_and_whether_it_has_ended() {
    let to = draw();
    let guard = Guard::open(&to).unwrap();
    assert_eq!(guard.listen(&[3], 0).unwrap(), []);
    let (mut other, mut channel) = Publisher::open(&to, 60, 8, false);
    other.flood(&mut channel, 9);
    let heard = guard.listen(&[2, 3], 0).unwrap();
    assert_eq!(heard.len(), 1);
    assert_eq!((heard[0].channel, heard[0].session, heard[0].last_seq), (3, 60, 10));
    assert_eq!((heard[0].publisher_id, heard[0].ended, heard[0].drill), (8, false, false));
    channel.end(&mut other, 0, 0);
    other.flush();
    let heard = guard.listen(&[3], 0).unwrap();
    assert_eq!((heard[0].last_seq, heard[0].ended), (10, true));
    assert_eq!(guard.listen(&[3], 0).unwrap(), [], "silence is no session");
    // What was heard before a session of ours begins counts for it.
    guard.begin(own(60, 9, false)).unwrap();
    assert!(!guard.may_send(3, LATER));
}
