//! What is known of each arena page: whether it was written, and which of its lines hold decoded code.

use super::PAGE_SIZE;
use std::ops::Range;

/// Code is tracked by lines of this many bytes: one bit each in a page's word.
pub const LINE_SIZE: u64 = 64;

/// Marks of every page.
pub struct Marks {
    dirty: Vec<bool>,
    /// Pages that may hold something: written since the beginning, or since they were last forgotten.
    touched: Vec<bool>,
    code: Vec<u64>,
}

impl Marks {
    /// Marks for an arena of `len` bytes, all clear.
    pub fn new(len: u64) -> Self {
        let pages = len.div_ceil(PAGE_SIZE) as usize;
        Self { dirty: vec![false; pages], touched: vec![false; pages], code: vec![0; pages] }
    }

    /// Whether the page of `offset` has both marks of a page that was written, so that another store changes neither.
    pub fn is_written(&self, offset: u64) -> bool {
        let mark = |marks: &[bool]| marks.get(page(offset)).copied().unwrap_or(false);
        mark(&self.dirty) && mark(&self.touched)
    }

    /// Marks the page of `offset` written.
    pub fn set_dirty(&mut self, offset: u64) {
        let page = page(offset);
        if let (Some(dirty), Some(touched)) = (self.dirty.get_mut(page), self.touched.get_mut(page)) {
            (*dirty, *touched) = (true, true);
        }
    }

    /// For each page, whether it may hold something.
    pub fn touched(&self) -> &[bool] {
        &self.touched
    }

    /// The first pages, one after the other, of some that may hold something.
    pub fn touched_run(&self, pages: Range<u64>) -> Option<Range<u64>> {
        let marks = self.touched.get(pages.start as usize..pages.end as usize)?;
        let first = marks.iter().position(|touched| *touched)?;
        let len = marks.iter().skip(first).take_while(|touched| **touched).count();
        let start = pages.start + first as u64;
        Some(start..start + len as u64)
    }

    /// Takes note that nothing is left of what these pages held.
    pub fn set_untouched(&mut self, pages: Range<u64>) {
        if let Some(marks) = self.touched.get_mut(pages.start as usize..pages.end as usize) {
            marks.fill(false);
        }
    }

    /// Lists the pages (by arena page number) that are marked written, and clears the marks.
    pub fn take_dirty(&mut self) -> Vec<u64> {
        let pages = self.dirty.iter().enumerate().filter(|(_, d)| **d).map(|(i, _)| i as u64).collect();
        self.dirty.fill(false);
        pages
    }

    /// The page's lines that hold code, one bit each from the lowest.
    pub fn code_lines(&self, offset: u64) -> u64 {
        self.code.get(page(offset)).copied().unwrap_or(0)
    }

    /// Marks lines as holding code; true if the page had none before.
    pub fn add_code(&mut self, offset: u64, len: u64) -> bool {
        let lines = line_mask(offset, len);
        self.code.get_mut(page(offset)).is_some_and(|mark| std::mem::replace(mark, *mark | lines) == 0)
    }

    /// Clears lines of the page of `offset`.
    pub fn clear_code(&mut self, offset: u64, lines: u64) {
        if let Some(mark) = self.code.get_mut(page(offset)) {
            *mark &= !lines;
        }
    }
}

fn page(offset: u64) -> usize {
    (offset / PAGE_SIZE) as usize
}

/// The lines of one page that `len` bytes from `offset` touch (what lies beyond the page is left out).
pub fn line_mask(offset: u64, len: u64) -> u64 {
    let first = offset % PAGE_SIZE / LINE_SIZE;
    let last = ((offset % PAGE_SIZE + len.max(1) - 1).min(PAGE_SIZE - 1)) / LINE_SIZE;
    (u64::MAX >> (63 - (last - first))) << first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_touches_the_lines_it_overlaps() {
        assert_eq!(line_mask(0, 1), 1);
        assert_eq!(line_mask(63, 2), 0b11);
        assert_eq!(line_mask(0x1fc0, 100), 1 << 63);
        assert_eq!(line_mask(0, PAGE_SIZE), u64::MAX);
    }

    #[test]
    fn what_was_ever_written_stays_known() {
        let mut marks = Marks::new(2 * PAGE_SIZE);
        marks.set_dirty(PAGE_SIZE + 5);
        assert_eq!(marks.take_dirty(), [1]);
        assert_eq!((marks.is_written(PAGE_SIZE), marks.touched()), (false, &[false, true][..]));
    }

    #[test]
    fn a_page_that_was_forgotten_is_written_anew() {
        let mut marks = Marks::new(4 * PAGE_SIZE);
        [1, 2].iter().for_each(|page| marks.set_dirty(page * PAGE_SIZE));
        assert_eq!((marks.touched_run(0..4), marks.touched_run(2..4)), (Some(1..3), Some(2..3)));
        marks.set_untouched(1..2);
        assert_eq!((marks.touched_run(0..4), marks.touched_run(3..4)), (Some(2..3), None));
        assert_eq!((marks.is_written(PAGE_SIZE), marks.is_written(2 * PAGE_SIZE)), (false, true));
        assert_eq!(marks.take_dirty(), [1, 2]);
    }

    #[test]
    fn the_first_code_on_a_page_is_told() {
        let mut marks = Marks::new(PAGE_SIZE);
        assert!(marks.add_code(0x100, 4));
        assert!(!marks.add_code(0x200, 4));
        marks.clear_code(0x100, line_mask(0x100, 4));
        assert_eq!(marks.code_lines(0), line_mask(0x200, 4));
    }
}
