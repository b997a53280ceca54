//! The signed manifest: what is signed, what a verifier concludes, and how much it keeps.

use outcrier_core::wire::manifest::{
    BadKey, FRAMES_MAX, LOST_NS, ManifestSigner, ManifestVerifier, Outcome, PublicKey, SecretKey, Signed,
    UNSIGNED, WINDOW_BYTES_MAX, Window,
};

const CHANNEL: u8 = 3;
const SESSION: u32 = 90_000_001;
const SECOND: i64 = 1_000_000_000;

fn key() -> SecretKey {
    SecretKey::new(&std::array::from_fn(|at| at as u8))
}

fn frame(number: u64) -> Vec<u8> {
    let mut bytes = vec![number as u8; 66 + (number % 7) as usize * 8];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes
}

/// A publisher and a consumer of the same session.
struct Ends {
    signer: ManifestSigner,
    verifier: ManifestVerifier,
    told: Vec<Outcome>,
    now_ns: i64,
}

impl Ends {
    fn new() -> Self {
        Self {
            signer: ManifestSigner::new(key(), CHANNEL, SESSION),
            verifier: ManifestVerifier::new(key().public(), CHANNEL, SESSION),
            told: Vec::new(),
            now_ns: 0,
        }
    }

    fn send(&mut self, numbers: std::ops::Range<u64>) {
        numbers.for_each(|number| self.signer.push(number, &frame(number)));
    }

    fn hear(&mut self, numbers: impl IntoIterator<Item = u64>) {
        for number in numbers {
            self.verifier.on_frame(number, &frame(number), &mut |outcome| self.told.push(outcome));
        }
    }

    fn close(&mut self) -> Signed {
        self.now_ns += SECOND;
        self.signer.close().unwrap()
    }

    fn beat(&mut self, manifest: &Signed) {
        let told = &mut self.told;
        let mut tell = |outcome| told.push(outcome);
        self.verifier.on_heartbeat(manifest.next, self.now_ns, Some(&manifest.signature), &mut tell);
    }

    fn plain_beat(&mut self) {
        self.verifier.on_heartbeat(1, self.now_ns, None, &mut |outcome| self.told.push(outcome));
    }

    fn told(&mut self) -> Vec<Outcome> {
        std::mem::take(&mut self.told)
    }
}

fn verified(first: u64, next: u64) -> Outcome {
    Outcome::Verified { first, next }
}

#[test]
fn a_row_of_windows_is_verified_in_any_order_of_frames_and_copies() {
    let mut ends = Ends::new();
    ends.send(1..11);
    let first = ends.close();
    ends.hear([1, 2, 5, 4, 4, 3, 6]);
    ends.beat(&first);
    ends.beat(&first);
    assert_eq!(ends.told(), [], "waits for what is still under way");
    ends.hear([11, 12, 9, 8, 7]);
    assert_eq!(ends.told(), []);
    ends.hear([10]);
    assert_eq!(ends.told(), [verified(1, 11)]);
    ends.send(11..13);
    let second = ends.close();
    ends.beat(&first);
    ends.beat(&second);
    assert_eq!(ends.told(), [verified(11, 13)]);
    let third = ends.close();
    assert_eq!(third.next, 13);
    ends.beat(&third);
    assert_eq!(ends.told(), [], "a window of nothing");
}

#[test]
fn an_altered_frame_is_a_mismatch_and_the_next_window_is_whole_again() {
    let mut ends = Ends::new();
    ends.plain_beat();
    ends.send(1..6);
    ends.hear([1, 2, 3]);
    let mut forged = frame(4);
    forged[60] ^= 1;
    ends.verifier.on_frame(4, &forged, &mut |_| panic!("nothing is known yet"));
    ends.hear([4, 5]);
    let manifest = ends.close();
    ends.beat(&manifest);
    assert_eq!(ends.told(), [Outcome::Mismatch { first: 1, next: 6 }]);
    ends.send(6..8);
    ends.hear(6..8);
    let manifest = ends.close();
    ends.beat(&manifest);
    assert_eq!(ends.told(), [verified(6, 8)]);
}

#[test]
fn a_lost_manifest_is_no_alarm() {
    let mut ends = Ends::new();
    ends.plain_beat();
    for first in [1, 11, 21, 31] {
        ends.send(first..first + 10);
        ends.hear(first..first + 10);
        let manifest = ends.close();
        if first != 11 {
            ends.beat(&manifest);
        }
    }
    assert_eq!(ends.told(), [verified(1, 11), Outcome::Unverifiable { next: 31 }, verified(31, 41)]);
}

#[test]
fn a_window_that_is_late_but_right_is_verified() {
    let mut ends = Ends::new();
    ends.plain_beat();
    ends.send(1..4);
    ends.hear(1..4);
    ends.now_ns += LOST_NS * 3;
    let manifest = ends.close();
    ends.beat(&manifest);
    assert_eq!(ends.told(), [verified(1, 4)]);
}

#[test]
fn a_window_with_a_hole_is_unverifiable_once_the_next_manifest_comes() {
    let mut ends = Ends::new();
    ends.send(1..6);
    ends.hear([1, 2, 4, 5]);
    let manifest = ends.close();
    ends.beat(&manifest);
    ends.send(6..9);
    ends.hear(6..9);
    let manifest = ends.close();
    assert_eq!(ends.told(), []);
    ends.beat(&manifest);
    assert_eq!(ends.told(), [Outcome::Unverifiable { next: 6 }, verified(6, 9)]);
}

#[test]
fn a_late_joiner_verifies_from_the_next_window_on() {
    let mut ends = Ends::new();
    ends.send(1..8);
    ends.hear(5..10);
    let manifest = ends.close();
    ends.beat(&manifest);
    assert_eq!(ends.told(), [Outcome::Unverifiable { next: 8 }]);
    ends.send(8..12);
    ends.hear(10..12);
    let manifest = ends.close();
    ends.beat(&manifest);
    assert_eq!(ends.told(), [verified(8, 12)]);
}

#[test]
fn a_publisher_that_did_not_keep_a_frame_does_not_sign_for_it() {
    let mut signer = ManifestSigner::new(key(), CHANNEL, SESSION);
    signer.push(1, &frame(1));
    signer.push(3, &frame(3));
    assert_eq!(signer.close(), None, "the chain is unknown");
    signer.resume(77);
    assert_eq!(signer.close(), Some(Signed { next: 4, chain64: 77, signature: UNSIGNED }));
    signer.push(4, &frame(4));
    assert_ne!(signer.close().unwrap().signature, UNSIGNED);
    let mut ends = Ends::new();
    ends.plain_beat();
    ends.hear(1..5);
    ends.now_ns = SECOND;
    ends.beat(&Signed { next: 4, chain64: 77, signature: UNSIGNED });
    assert_eq!(ends.told(), [Outcome::Unverifiable { next: 4 }]);
}

#[test]
fn what_is_kept_is_bounded_by_frames_and_bytes() {
    let mut ends = Ends::new();
    ends.hear([1]);
    ends.hear([1 + FRAMES_MAX as u64]);
    ends.send(1..3);
    let manifest = ends.close();
    ends.beat(&manifest);
    assert_eq!(ends.told(), [Outcome::Unverifiable { next: 3 }], "the first window was dropped");

    let mut ends = Ends::new();
    let long = vec![7; 1_400];
    let many = (WINDOW_BYTES_MAX / long.len()) as u64 + 1;
    for number in 1..=many {
        ends.verifier.on_frame(number, &long, &mut |_| panic!("nothing to tell"));
    }
    (1..=many).for_each(|number| ends.signer.push(number, &long));
    let manifest = ends.close();
    ends.beat(&manifest);
    assert_eq!(ends.told(), [Outcome::Unverifiable { next: many + 1 }]);
    ends.verifier.on_frame(many + 1, &long, &mut |_| panic!("nothing to tell"));
    ends.signer.push(many + 1, &long);
    let manifest = ends.close();
    ends.beat(&manifest);
    assert_eq!(ends.told(), [verified(many + 1, many + 2)], "and it recovers");
}

#[test]
fn numbers_at_the_end_of_u64_do_not_overflow() {
    let mut ends = Ends::new();
    ends.hear([u64::MAX - 1, u64::MAX, 5]);
    ends.verifier.on_heartbeat(u64::MAX, i64::MAX, Some(&UNSIGNED), &mut |_| {});
    ends.verifier.on_heartbeat(0, i64::MIN, Some(&UNSIGNED), &mut |_| {});
    ends.signer.push(u64::MAX, &frame(1));
    assert_eq!(ends.signer.close(), None);
}

#[test]
fn a_signature_belongs_to_its_channel_session_numbers_and_frames() {
    let window = Window { channel: CHANNEL, session: SESSION, first: 10, next: 20, hash: [5; 32] };
    let signature = window.sign(&key());
    let public = key().public();
    assert!(public.verify(&window, &signature));
    let others = [
        Window { channel: 4, ..window },
        Window { session: SESSION + 1, ..window },
        Window { first: 9, ..window },
        Window { next: 21, ..window },
        Window { hash: [6; 32], ..window },
    ];
    assert!(others.iter().all(|other| !public.verify(other, &signature)));
    assert!(!SecretKey::new(&[1; 32]).public().verify(&window, &signature));
    assert!(!public.verify(&window, &UNSIGNED));
    assert_eq!(hex(&signature), VECTOR);
}

/// Of the window above; the same in `tests/test_wire_auth.py`, made by another implementation.
const VECTOR: &str = "5ede3a75ccf18dede29c299fedc4268dfa1e0356af28e92113a3d3374e5d04c3\
af2f1154d5779e9585ce6f15583b31e0926fa04a26d8677e9bf52d99040c880f";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn keys_are_read_from_hex() {
    let text: String = (0..32).map(|byte| format!("{byte:02X}")).collect();
    assert_eq!(SecretKey::parse(&format!(" {text}\n")).unwrap().public(), key().public());
    let public = hex(&key().public().bytes());
    assert_eq!(PublicKey::parse(&public), Ok(key().public()));
    assert_eq!(PublicKey::parse(&public[1..]), Err(BadKey));
    assert_eq!(SecretKey::parse("").unwrap_err(), BadKey);
    let no_point = (0..=255_u8).map(|byte| format!("{byte:02x}").repeat(32));
    assert!(no_point.filter(|text| PublicKey::parse(text).is_err()).count() > 50, "half of all y have no x");
    assert_eq!(format!("{:?}", key()), "SecretKey(..)");
}
