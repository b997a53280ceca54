//! A long run of price levels by tick: pages of quantities, made where the updates are, under bitsets that find
//! the next level.
//!
//! A window works on keys, not prices: smaller key = better level (see [`super::ladder`]).

/// Ticks in a page: 2 KiB of quantities. Half the size would double the pages for the same reach, twice the
/// size spends more memory on empty ticks (measured on the captures: see [`PAGES`]).
pub(super) const PAGE_TICKS: usize = 256;
/// Pages that a window reaches over, one bit each in a `u64`.
pub(super) const PAGES: usize = 64;
/// Ticks from the start of a window to its end.
///
/// Measured: share of updates that lie within this many ticks of their touch, on the captures of 2024.
///
/// | ticks | USD-M BTCUSDT | COIN-M BTCUSD | spot BTCUSDT | spot ETHUSDT |
/// |---|---|---|---|---|
/// | 4,096 | 88.8 % | 95.8 % | 58.5 % | 97.9 % |
/// | 16,384 | 95.1 % | 98.4 % | 90.3 % | 98.7 % |
/// | 65,536 | 96.8 % | 98.6 % | 94.3 % | 99.8 % |
pub(super) const WINDOW_TICKS: usize = PAGES * PAGE_TICKS;

/// Steps above this get no window: `WINDOW_TICKS` of them must fit into an `i64` with room to align.
pub(super) const STEP_MAX: i64 = i64::MAX / (4 * WINDOW_TICKS as i64);

/// Where a window lies: `base + index * step` for `index` in `0..WINDOW_TICKS`, all of it inside `i64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grid {
    pub(super) base: i64,
    pub(super) step: i64,
    /// Inverse of the odd part of `step` modulo 2^64.
    inverse: u64,
    /// Trailing zero bits of `step`.
    shift: u32,
}

impl Grid {
    /// The grid through `anchor` whose index `lead` is the largest grid key not above `key`, moved as far as
    /// needed to stay inside `i64`. `None` if the step is not in `1..=STEP_MAX`.
    pub(super) fn place(step: i64, anchor: i64, key: i64, lead: usize) -> Option<Self> {
        if !(1..=STEP_MAX).contains(&step) {
            return None;
        }
        let wide = i128::from(step);
        let aligned = i128::from(key) - (i128::from(key) - i128::from(anchor)).rem_euclid(wide);
        let lowest = i128::from(i64::MIN);
        let highest = i128::from(i64::MAX) - (WINDOW_TICKS as i128 - 1) * wide;
        let mut base = aligned - lead as i128 * wide;
        if base < lowest {
            base += (lowest - base + wide - 1) / wide * wide;
        } else if base > highest {
            base -= (base - highest + wide - 1) / wide * wide;
        }
        let odd = (step as u64) >> step.trailing_zeros();
        Some(Self {
            base: i64::try_from(base).ok()?,
            step,
            inverse: inverse_of_odd(odd),
            shift: step.trailing_zeros(),
        })
    }

    /// The grid of a side that has seen nothing: whole mantissas around price 0.
    pub(super) fn start(mask: i64) -> Self {
        let base = mask - WINDOW_TICKS as i64 / 4;
        Self { base, step: 1, inverse: 1, shift: 0 }
    }

    /// The largest key of the lattice that is not above `key`, if there is one.
    pub(super) fn align(&self, key: i64) -> i64 {
        let over = (i128::from(key) - i128::from(self.base)).rem_euclid(i128::from(self.step));
        key.saturating_sub(over as i64)
    }

    /// How many whole pages `other`, on the same lattice, starts after this grid; moves its start down to a
    /// border of pages where it lies between two. Huge distances saturate.
    pub(super) fn pages_to(&self, other: &mut Self) -> isize {
        let page = PAGE_TICKS as i128 * i128::from(self.step);
        let distance = i128::from(other.base) - i128::from(self.base);
        let (mut pages, over) = (distance.div_euclid(page), distance.rem_euclid(page));
        match other.base.checked_sub(over as i64) {
            Some(base) => other.base = base,
            None => pages = i128::MAX,
        }
        isize::try_from(pages).unwrap_or(isize::MAX)
    }

    /// Index of a key on the grid and inside the window.
    ///
    /// The multiplication by the inverse divides exactly if `step` divides the distance; otherwise the product
    /// is above `u64::MAX / step` (Granlund and Montgomery 1994, section 9), which [`STEP_MAX`] keeps above
    /// every index. So one compare sorts out both what is off the grid and what is outside. A distance that
    /// wrapped cannot pass for an index, because the whole window lies inside `i64`.
    #[inline]
    pub(super) fn index(&self, key: i64) -> Option<usize> {
        let distance = key.wrapping_sub(self.base) as u64;
        let index = distance.wrapping_mul(self.inverse).rotate_right(self.shift);
        (index < WINDOW_TICKS as u64).then_some(index as usize)
    }

    /// The key at an index; `index < WINDOW_TICKS`.
    #[inline]
    pub(super) fn key(&self, index: usize) -> i64 {
        self.base + index as i64 * self.step
    }

    /// Whether both grids hold the same keys, wherever their windows lie.
    pub(super) fn is_same_lattice(&self, other: &Self) -> bool {
        self.step == other.step && self.base.abs_diff(other.base).is_multiple_of(self.step as u64)
    }
}

/// Newton's iteration: each round doubles the number of right bits, from the 3 that `odd` itself gives.
fn inverse_of_odd(odd: u64) -> u64 {
    let mut inverse = odd;
    for _ in 0..5 {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(inverse)));
    }
    inverse
}

const PAGE_WORDS: usize = PAGE_TICKS / 64;

/// Quantities of consecutive ticks, 0 = no level, and a bit for each level.
#[derive(Clone, Debug)]
struct Page {
    /// Levels on the page. Asking the words instead costs 5 ns: a wide load right after a narrow store waits.
    levels: i64,
    words: [u64; PAGE_WORDS],
    qty: [i64; PAGE_TICKS],
}

impl Page {
    const EMPTY: Page = Page { levels: 0, words: [0; PAGE_WORDS], qty: [0; PAGE_TICKS] };

    fn next(&self, from: usize) -> Option<usize> {
        let first = from / 64;
        let mut word = *self.words.get(first)? & (u64::MAX << (from % 64));
        for at in first..PAGE_WORDS {
            if at > first {
                word = self.words[at];
            }
            if word != 0 {
                return Some(at * 64 + word.trailing_zeros() as usize);
            }
        }
        None
    }

    fn last(&self) -> Option<usize> {
        let (at, word) = self.words.iter().enumerate().rfind(|(_, word)| **word != 0)?;
        Some(at * 64 + 63 - word.leading_zeros() as usize)
    }
}

/// A page that does not exist.
const NO_PAGE: u8 = u8::MAX;

/// Quantities by index below [`WINDOW_TICKS`], on the pages that exist.
///
/// The memory of all pages is asked for at once, so that updates never ask for any, and written page by page: a system gives it
/// then, so what is never used costs an address.
#[derive(Clone, Debug)]
pub(super) struct Window {
    /// Bit per page: it has a level.
    occupied: u64,
    levels: i64,
    /// Where the pages lie in the memory.
    pages: [u8; PAGES],
    /// Pages that were used ever; the lowest free one is always the next.
    memory: Vec<Page>,
    /// Bit per page of the memory: it is one of the window.
    used: u64,
}

impl Window {
    pub(super) fn new() -> Self {
        Self { occupied: 0, levels: 0, pages: [NO_PAGE; PAGES], memory: Vec::new(), used: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.levels as usize
    }

    /// Sets the quantity at an index below `WINDOW_TICKS` and returns the old one; `None` if the page does not
    /// exist. No branch depends on the quantities: additions and removals alternate without a pattern that a
    /// processor could learn.
    #[inline]
    pub(super) fn replace(&mut self, index: usize, qty: i64) -> Option<i64> {
        let page = self.memory.get_mut(usize::from(self.pages[index / PAGE_TICKS]))?;
        let tick = index % PAGE_TICKS;
        let old = std::mem::replace(&mut page.qty[tick], qty);
        let word = &mut page.words[tick / 64];
        *word = (*word & !(1 << (tick % 64))) | (u64::from(qty != 0) << (tick % 64));
        let change = i64::from(qty != 0) - i64::from(old != 0);
        page.levels += change;
        self.levels += change;
        let bit = index / PAGE_TICKS;
        self.occupied = (self.occupied & !(1 << bit)) | (u64::from(page.levels != 0) << bit);
        Some(old)
    }

    /// Whether there is a page.
    pub(super) fn has_pages(&self) -> bool {
        self.used != 0
    }

    /// The quantity at an index below `WINDOW_TICKS`; `None` if the page does not exist.
    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<i64> {
        let page = self.memory.get(usize::from(self.pages[index / PAGE_TICKS]))?;
        Some(page.qty[index % PAGE_TICKS])
    }

    /// Asks for the memory of all pages.
    pub(super) fn reserve(&mut self) {
        self.memory.reserve_exact(PAGES - self.memory.len());
    }

    /// Makes the page of an index, empty, if it does not exist.
    pub(super) fn make_page(&mut self, index: usize) {
        self.reserve();
        let place = &mut self.pages[index / PAGE_TICKS];
        if *place == NO_PAGE {
            // There are as many places as pages, so one is free.
            let free = self.used.trailing_ones();
            self.used |= 1 << free;
            if free as usize == self.memory.len() {
                self.memory.push(Page::EMPTY);
            }
            *place = free as u8;
        }
    }

    /// The first level at or after an index, as (index, quantity).
    #[inline]
    pub(super) fn next(&self, from: usize) -> Option<(usize, i64)> {
        let number = from / PAGE_TICKS;
        let page = self.memory.get(usize::from(*self.pages.get(number)?));
        let (number, page, tick) = match page.and_then(|page| Some((page, page.next(from % PAGE_TICKS)?))) {
            Some((page, tick)) => (number, page, tick),
            None => {
                // Shifting twice keeps the count below 64 for the last page.
                let later = self.occupied & (u64::MAX << number << 1);
                let number = later.trailing_zeros() as usize;
                let page = self.memory.get(usize::from(*self.pages.get(number)?))?;
                (number, page, page.next(0)?)
            }
        };
        Some((number * PAGE_TICKS + tick, page.qty[tick]))
    }

    /// The last level, as (index, quantity).
    pub(super) fn last(&self) -> Option<(usize, i64)> {
        let number = self.occupied.checked_ilog2()? as usize;
        let page = self.memory.get(usize::from(self.pages[number]))?;
        let tick = page.last()?;
        Some((number * PAGE_TICKS + tick, page.qty[tick]))
    }

    /// Takes a page out and gives its levels, as index and quantity, to `take`.
    pub(super) fn take_page(&mut self, number: usize, mut take: impl FnMut(usize, i64)) {
        let place = std::mem::replace(&mut self.pages[number], NO_PAGE);
        let Some(page) = self.memory.get_mut(usize::from(place)) else {
            return;
        };
        let mut from = 0;
        while let Some(tick) = page.next(from) {
            take(number * PAGE_TICKS + tick, page.qty[tick]);
            from = tick + 1;
        }
        self.occupied &= !(1 << number);
        self.used &= !(1 << place);
        self.levels -= page.levels;
        if page.levels != 0 {
            *page = Page::EMPTY;
        }
    }

    /// Renumbers the pages: what was page `n` becomes page `n - by`. The pages that fall out must be taken before.
    pub(super) fn shift(&mut self, by: isize) {
        let count = by.unsigned_abs().min(PAGES);
        let occupied = u128::from(self.occupied) << PAGES;
        let is_free = |place: &u8| *place == NO_PAGE;
        if by >= 0 {
            debug_assert!(self.pages[..count].iter().all(is_free), "a page falls out");
            self.pages.rotate_left(count);
            self.occupied = (occupied >> count >> PAGES) as u64;
        } else {
            debug_assert!(self.pages[PAGES - count..].iter().all(is_free), "a page falls out");
            self.pages.rotate_right(count);
            self.occupied = (occupied << count >> PAGES) as u64;
        }
    }

    /// Removes all levels and keeps the pages.
    pub(super) fn clear(&mut self) {
        for page in &mut self.memory {
            if page.levels != 0 {
                *page = Page::EMPTY;
            }
        }
        self.occupied = 0;
        self.levels = 0;
    }

    /// Bytes of the pages that were used.
    pub(super) fn memory_bytes(&self) -> usize {
        self.memory.len() * size_of::<Page>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slow_index(grid: &Grid, key: i64) -> Option<usize> {
        (0..WINDOW_TICKS).find(|&index| grid.key(index) == key)
    }

    #[test]
    fn index_is_exact_division_for_odd_even_and_extreme_steps() {
        for step in [1, 2, 3, 10, 25, 64, 1_000, 10_000_000, 999_999_937, STEP_MAX - 1, STEP_MAX] {
            for key in [i64::MIN, i64::MIN + 7, -step, -1, 0, 5, step, i64::MAX - 3, i64::MAX] {
                let grid = Grid::place(step, key, key, 1024).expect("step is allowed");
                assert!(
                    i128::from(grid.base) + (WINDOW_TICKS as i128 - 1) * i128::from(step)
                        <= i128::from(i64::MAX)
                );
                assert!(grid.index(key).is_some(), "step {step} key {key}");
                for probe in [
                    key,
                    key.wrapping_add(step),
                    key.wrapping_sub(step),
                    key ^ 1,
                    !key,
                    i64::MIN,
                    i64::MAX,
                    0,
                ] {
                    assert_eq!(
                        grid.index(probe),
                        slow_index(&grid, probe),
                        "step {step} key {key} probe {probe}"
                    );
                }
            }
        }
        assert!(Grid::place(0, 0, 0, 0).is_none() && Grid::place(STEP_MAX + 1, 0, 0, 0).is_none());
    }

    fn all(window: &Window) -> Vec<(usize, i64)> {
        let mut seen = Vec::new();
        let mut from = 0;
        while let Some((index, qty)) = window.next(from) {
            seen.push((index, qty));
            from = index + 1;
        }
        seen
    }

    #[test]
    fn next_walks_over_the_borders_of_words_and_pages() {
        let mut window = Window::new();
        let indices = [0, 63, 64, 255, 256, 5_000, 8_191, WINDOW_TICKS - 1];
        for index in indices {
            assert_eq!(window.replace(index, 1), if matches!(index, 63 | 64 | 255) { Some(0) } else { None });
            window.make_page(index);
            assert_eq!(window.replace(index, index as i64 + 1).unwrap_or(-1) / 2, 0);
        }
        assert_eq!(all(&window), indices.map(|index| (index, index as i64 + 1)));
        assert_eq!(window.last(), all(&window).last().copied());
        assert_eq!(window.len(), indices.len());
        assert_eq!(window.replace(64, 0), Some(65));
        assert_eq!(window.next(64), Some((255, 256)));
        window.clear();
        assert_eq!((window.next(0), window.last(), window.len()), (None, None, 0));
        assert_eq!(window.replace(63, 1), Some(0), "the page is kept");
    }

    #[test]
    fn a_shift_moves_levels_by_whole_pages() {
        for by in [1isize, 5, -1, -20, 0] {
            let mut window = Window::new();
            let start = 30 * PAGE_TICKS + 7;
            window.make_page(start);
            window.replace(start, 9);
            window.make_page(start + 300);
            window.replace(start + 300, 8);
            window.shift(by);
            let moved = (start as isize - by * PAGE_TICKS as isize) as usize;
            assert_eq!(all(&window), [(moved, 9), (moved + 300, 8)]);
            assert_eq!(window.last(), Some((moved + 300, 8)));
            let mut taken = Vec::new();
            window.take_page(moved / PAGE_TICKS, |index, qty| taken.push((index, qty)));
            assert_eq!(taken, [(moved, 9)]);
            window.make_page(moved);
            assert_eq!(window.replace(moved, 0), Some(0), "a page that is used again is empty");
            assert_eq!((all(&window), window.len()), (vec![(moved + 300, 8)], 1));
        }
        Window::new().shift(isize::MIN);
        Window::new().shift(isize::MAX);
    }
}
