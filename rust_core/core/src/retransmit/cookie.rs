//! Cookies: who asks proves that it hears what is sent to its address.

use std::hash::Hasher;
use std::net::SocketAddrV4;

use siphasher::sip::SipHasher24;

/// A cookie is taken for at least this long and at most twice as long; every reply carries the present one, so that who
/// asks now and then never falls out.
pub const COOKIE_NS: u64 = 60_000_000_000;

/// Cookies of all addresses, none of them stored.
///
/// A cookie is SipHash-2-4 over the number of the period, which makes the secret a rotating one, and the address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cookies {
    secret: [u8; 16],
}

impl Cookies {
    pub(super) fn new(secret: [u8; 16]) -> Self {
        Self { secret }
    }

    /// The cookie that `to` is given now; never 0, which means "none yet".
    pub(super) fn give(&self, to: SocketAddrV4, now_ns: u64) -> u64 {
        self.of(to, now_ns / COOKIE_NS)
    }

    /// Whether `cookie` was given to `from` in this period or the one before.
    pub(super) fn is_right(&self, from: SocketAddrV4, cookie: u64, now_ns: u64) -> bool {
        let period = now_ns / COOKIE_NS;
        let before = period.checked_sub(1).map(|before| self.of(from, before));
        cookie != 0 && (cookie == self.of(from, period) || Some(cookie) == before)
    }

    fn of(&self, address: SocketAddrV4, period: u64) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&self.secret);
        hasher.write(&period.to_le_bytes());
        hasher.write(&address.ip().octets());
        hasher.write(&address.port().to_le_bytes());
        hasher.finish().max(1)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddrV4};

    use super::{COOKIE_NS, Cookies};

    #[test]
    fn a_cookie_is_of_one_address_and_one_or_two_periods() {
        let cookies = Cookies::new([5; 16]);
        let address = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), 4_000);
        let given = cookies.give(address, 10);
        assert!(given != 0 && cookies.is_right(address, given, 10));
        assert!(cookies.is_right(address, given, 2 * COOKIE_NS - 1));
        assert!(!cookies.is_right(address, given, 2 * COOKIE_NS));
        assert!(!cookies.is_right(address, cookies.give(address, COOKIE_NS), 10), "not from the future");
        let others = [
            SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), 4_001),
            SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 2), 4_000),
        ];
        assert!(others.iter().all(|&other| !cookies.is_right(other, given, 10)));
        assert!(!cookies.is_right(address, 0, 10));
        assert_ne!(Cookies::new([6; 16]).give(address, 10), given);
    }
}
