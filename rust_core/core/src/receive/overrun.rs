//! Our own kernel's drops: a consumer that reads too slowly must not ask for more than it can take.

/// Drops within a second above which nothing is asked for. A drop is a datagram or a segmented send of up to 128, and
/// 8,000 frames a second may be asked for: with more drops than this they could not be had again.
pub const KERNEL_DROPS_MAX: u64 = 62;
const SECOND_NS: u64 = 1_000_000_000;

/// Drops of the second that runs, and whether there were too many.
#[derive(Debug, Default)]
pub(super) struct Overrun {
    began_ns: u64,
    drops: u64,
    until_ns: u64,
}

impl Overrun {
    /// Whether these drops exceed the budget; from then on nothing is asked for during a second.
    pub(super) fn add(&mut self, drops: u64, now_ns: u64) -> bool {
        if now_ns.saturating_sub(self.began_ns) >= SECOND_NS {
            (self.began_ns, self.drops) = (now_ns, 0);
        }
        self.drops = self.drops.saturating_add(drops);
        if self.drops <= KERNEL_DROPS_MAX {
            return false;
        }
        self.until_ns = now_ns.saturating_add(SECOND_NS);
        true
    }

    /// Whether nothing is to be asked for.
    pub(super) fn is_on(&self, now_ns: u64) -> bool {
        now_ns < self.until_ns
    }
}
