//! One side of a book: a window that follows the touch, and an ordered map (`far.rs`) for everything else.
//!
//! ```text
//! set(key, qty):  index = grid.index(key)             one multiplication; off the grid = outside
//!                 on a page:           replace qty, set or clear one bit
//!                 inside, no page yet: far map; after PAGE_HEAT of them the page is made
//!                 outside:             far map; after ADAPT_EVERY of them adapt()
//! adapt():        look at the best SAMPLE_LEVELS levels; choose the step that puts most of them into a
//!                 window around the best; move the window if its step or place should change
//! read:           merge of window and far map, both in order
//! ```
//!
//! The content never depends on where the window lies: a wrong tick, a jump of the touch or prices off the
//! grid cost time until the next `adapt`, never a level. A move on the same grid renumbers pages and costs
//! O(levels on the pages that fall out × log far levels); a change of the grid costs that for all levels.
//! Either happens at most once in [`ADAPT_EVERY`] updates outside the window.
//!
//! A *key* is the price for asks and its bitwise complement for bids: both sides then order from best to worst
//! by rising key, and no `i64` overflows (`!i64::MIN` is `i64::MAX`, where a negation would not exist).

use super::Overflow;
use super::far::{self, Far};
use super::window::{Grid, PAGE_TICKS, PAGES, WINDOW_TICKS, Window};
use crate::event::Level;
use crate::fetch::fetch;

/// Updates outside the window between two looks at whether it lies well. A look costs about 2 µs, so this
/// adds some 4 ns to an update that costs 30 or more; a touch that jumped is followed within 512 updates.
const ADAPT_EVERY: u32 = 512;
/// The first look comes sooner, so that most of the first snapshot goes straight to the window.
const ADAPT_FIRST: u32 = 64;
/// Best levels that a look takes into account. They span what most updates touch.
const SAMPLE_LEVELS: usize = 256;
/// A side with fewer levels gets no pages: it is as fast in the map, and a book of 20 levels stays small.
const WINDOW_LEVELS_MIN: usize = 48;
/// Updates that fall on a page before it is made: pages appear where updates go on, and levels that never change
/// stay in the map. Measured on the captures of 2024: 128 costs up to 13 ns an update more, 16 up to 15 % more memory.
const PAGE_HEAT: u8 = 32;
/// Ticks between the start of a new window and the touch: room for the touch to improve.
const LEAD_TICKS: usize = WINDOW_TICKS / 4;
/// The window moves when the touch lies beyond this index (or before the window).
const TOUCH_INDEX_MAX: usize = WINDOW_TICKS / 2;
/// One side. `mask` is 0 for asks and −1 for bids: key = price ^ mask.
#[derive(Clone, Debug)]
pub(super) struct Ladder {
    grid: Grid,
    mask: i64,
    window: Window,
    far: Far,
    /// The tick that the venue names; 0 = none.
    tick: i64,
    /// Updates outside the window since the last look.
    outside: u32,
    /// Updates since the last move that wanted a page which does not exist.
    heat: [u8; PAGES],
}

impl Ladder {
    pub(super) fn new(mask: i64, tick: i64) -> Self {
        Self {
            grid: Grid::start(mask),
            mask,
            window: Window::new(),
            far: Far::default(),
            tick,
            outside: ADAPT_EVERY - ADAPT_FIRST,
            heat: [0; PAGES],
        }
    }

    #[inline]
    pub(super) fn set(&mut self, price: i64, qty: i64) -> i64 {
        let key = price ^ self.mask;
        let index = self.grid.index(key);
        if let Some(old) = index.and_then(|index| self.window.replace(index, qty)) {
            return old;
        }
        let old = if qty == 0 { self.far.remove(key) } else { self.far.insert(key, qty) };
        if let Some(index) = index {
            self.warm(index);
        } else {
            self.outside += 1;
            if self.outside >= ADAPT_EVERY {
                self.adapt();
            }
        }
        old
    }

    /// Sets many levels. Those of a whole book, which mostly come best first, go where there is none yet in one piece.
    pub(super) fn set_all(&mut self, levels: &[Level]) {
        let mut rest = levels;
        if self.len() == 0 && levels.first().is_some_and(|first| first.qty != 0) {
            let is_next = |pair: &[Level]| (pair[0].price ^ self.mask) < (pair[1].price ^ self.mask);
            let count = levels.windows(2).take_while(|pair| is_next(pair) && pair[1].qty != 0).count() + 1;
            let (first, behind) = levels.split_at(count);
            self.fill(first);
            rest = behind;
        }
        for level in rest {
            self.set(level.price, level.qty);
        }
    }

    /// Takes levels that come best first, where it has none.
    fn fill(&mut self, levels: &[Level]) {
        if levels.len() < WINDOW_LEVELS_MIN && !self.window.has_pages() {
            let mask = self.mask;
            self.far.fill(levels.iter().map(|level| (level.price ^ mask, level.qty)));
        } else {
            self.fill_pages(levels);
        }
    }

    /// The same of a side that has pages, or gets them: it has them when it is whole.
    fn fill_pages(&mut self, levels: &[Level]) {
        let best = self.grid.index(levels[0].price ^ self.mask);
        let lies_well = self.window.has_pages() && best.is_some_and(|index| index <= TOUCH_INDEX_MAX);
        let count = u32::try_from(levels.len()).unwrap_or(u32::MAX);
        if !lies_well && self.outside.saturating_add(count) >= ADAPT_EVERY {
            self.begin_window(levels);
        }
        let Self { grid, mask, window, far, .. } = self;
        let mut outside = 0;
        let in_far = |level: &Level| {
            let key = level.price ^ *mask;
            match grid.index(key) {
                Some(index) => window.replace(index, level.qty).is_none().then_some((key, level.qty)),
                None => {
                    outside += 1;
                    Some((key, level.qty))
                }
            }
        };
        far.fill(levels.iter().filter_map(in_far));
        // They count as updates do, and the next one that is outside looks, at the latest.
        self.outside = self.outside.saturating_add(outside).min(ADAPT_EVERY - 1);
    }

    /// Puts the window where the best of these levels are, and makes the pages that many of them fall on.
    #[cold]
    fn begin_window(&mut self, levels: &[Level]) {
        self.outside = 0;
        if levels.len() < WINDOW_LEVELS_MIN {
            return;
        }
        let mut sample = [0; SAMPLE_LEVELS];
        let count = sample.iter_mut().zip(levels).map(|(key, level)| *key = level.price ^ self.mask).count();
        self.follow(&sample[..count]);
        let mut counts = [0; PAGES];
        for index in levels.iter().filter_map(|level| self.grid.index(level.price ^ self.mask)) {
            counts[index / PAGE_TICKS] += 1;
        }
        for number in (0..PAGES).filter(|number| counts[*number] >= usize::from(PAGE_HEAT)) {
            self.window.make_page(number * PAGE_TICKS);
        }
    }

    #[inline]
    pub(super) fn get(&self, price: i64) -> i64 {
        let key = price ^ self.mask;
        let near = self.grid.index(key).and_then(|index| self.window.get(index));
        near.unwrap_or_else(|| self.far.get(key))
    }

    /// Counts an update that wanted the page of `index`, and makes the page when it was wanted often.
    fn warm(&mut self, index: usize) {
        let number = index / PAGE_TICKS;
        self.heat[number] = self.heat[number].saturating_add(1);
        if self.heat[number] < PAGE_HEAT || self.len() < WINDOW_LEVELS_MIN {
            return;
        }
        self.begin_page(number);
    }

    /// Makes a page, of the levels that it has.
    fn begin_page(&mut self, number: usize) {
        self.heat[number] = 0;
        let start = number * PAGE_TICKS;
        self.window.make_page(start);
        let (mut from, last) = (self.grid.key(start), self.grid.key(start + PAGE_TICKS - 1));
        while let Some(key) = self.far.key_from(from).filter(|key| *key <= last) {
            if let Some(index) = self.grid.index(key) {
                self.window.replace(index, self.far.remove(key));
            }
            let Some(next) = key.checked_add(1) else { break };
            from = next;
        }
        self.far.shrink();
    }

    /// Takes memory ahead, so that updates need none unless the side grows by a quarter.
    pub(super) fn reserve(&mut self) {
        if self.len() >= WINDOW_LEVELS_MIN {
            self.window.reserve();
            self.far.reserve(self.len());
        }
    }

    /// Reads what the first levels of an empty side are put into.
    #[inline]
    pub(super) fn fetch(&self) {
        fetch(self.grid.base);
        fetch(self.window.len());
        fetch(self.outside);
        self.far.fetch();
    }

    pub(super) fn len(&self) -> usize {
        self.window.len() + self.far.len()
    }

    pub(super) fn clear(&mut self) {
        self.window.clear();
        self.far.clear();
    }

    #[inline]
    pub(super) fn best(&self) -> Option<Level> {
        if let Some((_, key, qty)) = self.next_near(0)
            && self.far.first_key().is_none_or(|first| key < first)
        {
            return Some(Level { price: key ^ self.mask, qty });
        }
        let (key, qty) = self.far.iter().peek()?;
        Some(Level { price: key ^ self.mask, qty })
    }

    pub(super) fn worst(&self) -> Option<Level> {
        let near = self.window.last().map(|(index, qty)| (self.grid.key(index), qty));
        // Keys order from best to worst.
        let (key, qty) = near.max(self.far.last())?;
        Some(Level { price: key ^ self.mask, qty })
    }

    pub(super) fn levels(&self) -> Levels<'_> {
        Levels { ladder: self, near: self.next_near(0), far: self.far.iter() }
    }

    /// Puts all levels behind what is in `all`, best first.
    pub(super) fn copy_to(&self, all: &mut Vec<Level>) {
        let mut levels = self.levels();
        while levels.near.is_some() {
            all.extend(levels.next());
        }
        levels.far.each(|key, qty| all.push(Level { price: key ^ self.mask, qty }));
    }

    /// The first level in the window at or after an index, as (index, key, quantity).
    fn next_near(&self, from: usize) -> Option<(usize, i64, i64)> {
        let (index, qty) = self.window.next(from)?;
        Some((index, self.grid.key(index), qty))
    }

    /// The same side with every mantissa multiplied; the factors are at least 1.
    pub(super) fn rescaled(&self, price_factor: i64, qty_factor: i64) -> Result<Self, Overflow> {
        let mut scaled = Self::new(self.mask, self.tick.checked_mul(price_factor).ok_or(Overflow)?);
        for level in self.levels() {
            let price = level.price.checked_mul(price_factor).ok_or(Overflow)?;
            scaled.set(price, level.qty.checked_mul(qty_factor).ok_or(Overflow)?);
        }
        scaled.adapt();
        Ok(scaled)
    }

    pub(super) fn set_tick(&mut self, tick: i64) {
        self.tick = tick;
        self.adapt();
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.window.memory_bytes() + self.far.memory_bytes()
    }

    /// Moves the window, or makes the first one, if the best levels would lie better elsewhere.
    #[cold]
    fn adapt(&mut self) {
        self.outside = 0;
        if self.len() < WINDOW_LEVELS_MIN {
            return;
        }
        let mut sample = [0; SAMPLE_LEVELS];
        let mut count = 0;
        for (slot, level) in sample.iter_mut().zip(self.levels()) {
            *slot = level.price ^ self.mask;
            count += 1;
        }
        self.follow(&sample[..count]);
    }

    /// The same by the keys of the best levels, of which there is one.
    fn follow(&mut self, sample: &[i64]) {
        let Some((grid, score)) = self.choose_grid(sample) else {
            return;
        };
        let touch = self.grid.align(sample[0]);
        let is_same = grid.is_same_lattice(&self.grid);
        let lies_well = is_same && self.grid.index(touch).is_some_and(|index| index <= TOUCH_INDEX_MAX);
        if !lies_well && score >= WINDOW_LEVELS_MIN {
            self.move_window(grid, is_same);
        }
    }

    /// The grid that puts most of the sample (best first, not empty) into a window around its best level, and
    /// how many. A tie goes to the coarser step: it reaches further.
    ///
    /// Candidates: the step that all sampled prices share, the tick that the venue names, and the present step.
    /// The named tick may be finer than what is used (Binance USD-M BTCUSDT: 0.01 in the list of 2021, 0.1
    /// in the book) or coarser (a tick that changed); the shared step is too fine when one price is odd.
    fn choose_grid(&self, sample: &[i64]) -> Option<(Grid, usize)> {
        let shared = sample.windows(2).fold(0, |step, pair| gcd(step, pair[1].abs_diff(pair[0])));
        let candidates = [
            (i64::try_from(shared).unwrap_or(0), sample[0]),
            (self.tick, self.mask),
            (self.grid.step, self.grid.base),
        ];
        candidates
            .into_iter()
            .filter_map(|(step, anchor)| Grid::place(step, anchor, sample[0], LEAD_TICKS))
            .map(|grid| (grid, sample.iter().filter(|&&key| grid.index(key).is_some()).count()))
            .max_by_key(|(grid, score)| (*score, grid.step))
    }

    /// Puts the window elsewhere. Levels already in the far map come over when their page is made.
    fn move_window(&mut self, mut grid: Grid, is_same_lattice: bool) {
        let mut leaving = 0..PAGES;
        let pages = if is_same_lattice { self.grid.pages_to(&mut grid) } else { isize::MAX };
        if pages.unsigned_abs() < PAGES {
            leaving = if pages >= 0 { 0..pages as usize } else { PAGES - pages.unsigned_abs()..PAGES };
        }
        for number in leaving {
            self.window.take_page(number, |index, qty| {
                self.far.insert(self.grid.key(index), qty);
            });
        }
        self.window.shift(pages);
        self.grid = grid;
        self.heat = [0; PAGES];
    }
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// All levels of a side, best first.
#[derive(Clone)]
pub(super) struct Levels<'a> {
    ladder: &'a Ladder,
    near: Option<(usize, i64, i64)>,
    far: far::Iter<'a>,
}

impl Iterator for Levels<'_> {
    type Item = Level;

    #[inline]
    fn next(&mut self) -> Option<Level> {
        let mask = self.ladder.mask;
        if let Some((index, key, qty)) = self.near
            && self.far.peek().is_none_or(|(far_key, _)| key < far_key)
        {
            self.near = self.ladder.next_near(index + 1);
            return Some(Level { price: key ^ mask, qty });
        }
        let (key, qty) = self.far.next()?;
        Some(Level { price: key ^ mask, qty })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many levels from a price on, every other one a little further, and how many of them are on pages when they came as a whole book.
    fn on_pages(ladder: &mut Ladder, from: i64, (step, odd): (i64, i64), count: i64) -> usize {
        ladder.clear();
        let levels: Vec<Level> =
            (0..count).map(|at| Level { price: from + at * step + at % 2 * odd, qty: 7 + at }).collect();
        ladder.set_all(&levels);
        assert_eq!(ladder.levels().collect::<Vec<_>>(), levels);
        assert_eq!(ladder.len(), levels.len());
        ladder.window.len()
    }

    #[test]
    fn a_whole_book_has_its_pages_when_it_is_whole() {
        let mut asks = Ladder::new(0, 1);
        assert_eq!(on_pages(&mut asks, 7_000_000, (1, 0), 47), 0, "so few levels get none");
        assert_eq!(on_pages(&mut asks, 7_000_000, (1, 0), 300), 300);
        assert_eq!(on_pages(&mut asks, 7_000_100, (2, 0), 100), 100, "pages that are there are used");
        assert_eq!(on_pages(&mut asks, 9_000_000, (1, 0), 600), 600, "the window follows the market");
        let mut near_zero = Ladder::new(0, 1);
        assert_eq!(
            on_pages(&mut near_zero, 1_024, (1, 0), 256),
            256,
            "where the first window lies before any level"
        );
    }

    #[test]
    fn a_sparse_book_gets_no_pages_however_often_it_comes() {
        let mut asks = Ladder::new(0, 1);
        for _ in 0..20 {
            assert_eq!(on_pages(&mut asks, 2_790_480, (10, 1), 200), 0, "25 levels a page");
        }
    }
}
