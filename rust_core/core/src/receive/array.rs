//! Arrays of rows, kept as the bytes that NumPy takes over.

use std::marker::PhantomData;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::wire::Records;

/// Rows of one type, end to end. They are bytes from the start: records of a frame are copied as they lie in it, and
/// the memory goes to NumPy without a copy ([`RowArray::into_bytes`]).
#[derive(Clone, Debug)]
pub struct RowArray<T> {
    bytes: Vec<u8>,
    row: PhantomData<T>,
}

impl<T> Default for RowArray<T> {
    fn default() -> Self {
        Self { bytes: Vec::new(), row: PhantomData }
    }
}

impl<T: FromBytes + IntoBytes + Immutable + KnownLayout> RowArray<T> {
    /// Empty, with the memory for as many rows as `like` has.
    pub(super) fn with_room_for(like: usize) -> Self {
        Self { bytes: Vec::with_capacity(like * size_of::<T>()), row: PhantomData }
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len() / size_of::<T>()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Row `index`; `None` behind the last.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<T> {
        let bytes = self.bytes.get(index.checked_mul(size_of::<T>())?..)?;
        T::read_from_prefix(bytes).ok().map(|(row, _)| row)
    }

    /// The rows, by copy.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = T> + ExactSizeIterator + '_ {
        self.bytes.chunks_exact(size_of::<T>()).map(|bytes| match T::read_from_bytes(bytes) {
            Ok(row) => row,
            Err(_) => unreachable!("a chunk is as long as a row"),
        })
    }

    /// The memory as it is.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The memory, given away. What was reserved in vain goes back if it is more than what is used.
    #[must_use]
    pub fn into_bytes(mut self) -> Vec<u8> {
        if self.bytes.capacity() / 2 > self.bytes.len() {
            self.bytes.shrink_to_fit();
        }
        self.bytes
    }

    pub(super) fn push(&mut self, row: &T) {
        self.bytes.extend_from_slice(row.as_bytes());
    }

    /// Adds the records of a frame.
    pub(super) fn append(&mut self, records: Records<'_, T>) {
        if let Some(bytes) = records.dense_bytes() {
            self.bytes.extend_from_slice(bytes);
        } else {
            records.for_each(|record| self.push(&record));
        }
    }

    /// Adds all rows of another array.
    pub(super) fn extend(&mut self, later: &Self) {
        self.bytes.extend_from_slice(&later.bytes);
    }
}
