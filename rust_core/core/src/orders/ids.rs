//! Order numbers of a venue, found at once.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Values by order number.
pub(crate) type Ids<T> = HashMap<u64, T, BuildHasherDefault<IdHasher>>;

/// Numbers of orders are counters or already spread: one multiplication serves both.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u128(&mut self, number: u128) {
        self.write_u64(number as u64);
        self.write_u64((number >> 64) as u64);
    }

    fn write_u64(&mut self, number: u64) {
        // Fibonacci hashing; the table takes its slot from the low bits and its tag from the highest.
        let product = (self.0 ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = product ^ (product >> 32);
    }
}
