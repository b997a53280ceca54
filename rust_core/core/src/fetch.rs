//! Memory that is asked for before it is needed.

/// Reads a value for nothing but that its memory is near when something is written there. Reads that do not wait for each
/// other are under way together; a book that is filled would wait for one line of the cache after the other.
#[inline(always)]
pub(crate) fn fetch<T: Copy>(value: T) {
    std::hint::black_box(value);
}
