//! Line B, the text lines and the repair group: sockets of their own, the same bytes, counts of their own.

use std::net::Ipv4Addr;

use outcrier_net::{Batch, Plane, PublisherConfig, Sent, SubscriberConfig, UdpPublisher, UdpSubscriber};

use crate::common::{drain, draw, line_a};

fn on(to: &PublisherConfig, group: Ipv4Addr) -> UdpSubscriber {
    UdpSubscriber::open(&SubscriberConfig { group, ..line_a(to) }).unwrap()
}

fn line_b(to: &PublisherConfig) -> UdpSubscriber {
    on(to, to.line_b.unwrap().group)
}

fn batch(plane: Plane, frames: &[Vec<u8>]) -> Batch {
    let mut batch = Batch::new();
    for frame in frames {
        batch.add(plane, frame, |_| panic!("they leave together"));
    }
    batch
}

fn frames() -> Vec<Vec<u8>> {
    [106, 122, 90].iter().map(|&len| (0..len).map(|at| (at * 7 + len) as u8).collect()).collect()
}

#[test]
fn both_lines_carry_the_same_bytes_and_the_snapshot_plane_has_one() {
    let to = draw();
    let (mut a, mut b) = (UdpSubscriber::open(&line_a(&to)).unwrap(), line_b(&to));
    let mut snapshot = on(&to, to.group_snapshot);
    let publisher = UdpPublisher::open(&to).unwrap();
    publisher.send_batch(&batch(Plane::Incremental, &frames()));
    publisher.send(Plane::Incremental, b"alone");
    publisher.send_batch(&batch(Plane::Snapshot, &frames()));
    let heard = drain(&mut a);
    assert_eq!(heard.len(), 4);
    for (datagram, frame) in heard.iter().zip(&frames()) {
        assert_eq!(&datagram[..frame.len()], frame);
    }
    assert_eq!(heard[3], b"alone");
    assert_eq!(drain(&mut b), heard);
    assert_eq!(drain(&mut snapshot).len(), 3);
    let (of_a, of_b) = (publisher.counters(), publisher.counters_b().unwrap());
    assert_eq!((of_a.frames, of_a.sends), (7, 3));
    assert_eq!((of_b.frames, of_b.sends, of_b.bytes), (4, 2, 106 + 122 + 90 + 5));
}

#[test]
fn one_line_only_where_no_group_b_is_given() {
    let mut to = draw();
    let mut b = line_b(&to);
    to.line_b = None;
    let publisher = UdpPublisher::open(&to).unwrap();
    publisher.send(Plane::Incremental, b"once");
    assert_eq!(drain(&mut b), Vec::<Vec<u8>>::new());
    assert_eq!(publisher.counters_b(), None);
}

#[test]
fn text_lines_and_repairs_have_groups_and_counts_of_their_own() {
    let to = draw();
    let mut a = UdpSubscriber::open(&line_a(&to)).unwrap();
    let (mut text, mut repair) = (on(&to, to.group_text.unwrap()), on(&to, to.group_repair.unwrap()));
    let publisher = UdpPublisher::open(&to).unwrap();
    assert_eq!(publisher.send_text(b"CONN|UPBIT|1|0|1\n"), Some(Sent::Sent));
    assert_eq!(publisher.send_repair(b"again"), Some(Sent::Sent));
    assert_eq!(publisher.send_repair(&[0; 1_401]), Some(Sent::Oversize));
    assert_eq!(drain(&mut text), [b"CONN|UPBIT|1|0|1\n"]);
    assert_eq!(drain(&mut repair), [b"again"]);
    assert_eq!(drain(&mut a), Vec::<Vec<u8>>::new());
    assert_eq!(publisher.counters_text().unwrap().frames, 1);
    let repairs = publisher.counters_repair().unwrap();
    assert_eq!((repairs.frames, repairs.oversize), (1, 1));
    assert_eq!(publisher.counters().frames, 0);
    let neither = PublisherConfig { group_text: None, group_repair: None, ..to };
    let publisher = UdpPublisher::open(&neither).unwrap();
    assert_eq!((publisher.send_text(b"x"), publisher.send_repair(b"x")), (None, None));
}
