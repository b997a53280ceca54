//! A queue of small values in blocks: growing never moves what is there, and a steady load allocates nothing.

use std::collections::VecDeque;

/// Values a block: growth costs one allocation in a thousand, and a queue that holds little takes little.
const BLOCK: usize = 1_024;

/// First in, first out, each value found by its place at once.
///
/// A `VecDeque` of a million entries would copy all of them when it grows, in the middle of a send.
#[derive(Debug)]
pub(super) struct Queue<T> {
    blocks: VecDeque<Vec<T>>,
    /// Values taken from the first block.
    taken: usize,
    len: usize,
    /// A block that was emptied, for the next one needed.
    spare: Option<Vec<T>>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { blocks: VecDeque::new(), taken: 0, len: 0, spare: None }
    }
}

impl<T: Copy> Queue<T> {
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<&T> {
        let at = self.taken + index;
        self.blocks.get(at / BLOCK)?.get(at % BLOCK)
    }

    pub(super) fn front(&self) -> Option<&T> {
        self.get(0)
    }

    #[inline]
    pub(super) fn push(&mut self, value: T) {
        match self.blocks.back_mut() {
            Some(block) if block.len() < BLOCK => block.push(value),
            _ => {
                let mut block = self.spare.take().unwrap_or_else(|| Vec::with_capacity(BLOCK));
                block.push(value);
                self.blocks.push_back(block);
            }
        }
        self.len += 1;
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        let value = *self.front()?;
        self.taken += 1;
        self.len -= 1;
        if self.taken == BLOCK
            && let Some(mut block) = self.blocks.pop_front()
        {
            block.clear();
            self.spare = Some(block);
            self.taken = 0;
        }
        Some(value)
    }

    pub(super) fn clear(&mut self) {
        *self = Self { spare: self.spare.take(), ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::{BLOCK, Queue};

    proptest! {
        #[test]
        fn is_a_queue(steps in prop::collection::vec((any::<bool>(), 1..3 * BLOCK), 0..30)) {
            let (mut queue, mut model) = (Queue::default(), VecDeque::new());
            for (number, (is_push, count)) in steps.into_iter().enumerate() {
                for index in 0..count {
                    if is_push {
                        queue.push((number, index));
                        model.push_back((number, index));
                    } else {
                        prop_assert_eq!(queue.pop(), model.pop_front());
                    }
                }
                prop_assert_eq!((queue.len(), queue.is_empty()), (model.len(), model.is_empty()));
                prop_assert_eq!(queue.front(), model.front());
                for index in (0..model.len() + 2).step_by(7) {
                    prop_assert_eq!(queue.get(index), model.get(index));
                }
            }
            queue.clear();
            prop_assert_eq!((queue.len(), queue.front()), (0, None));
            queue.push((0, 1));
            prop_assert_eq!(queue.front(), Some(&(0, 1)));
        }
    }
}
