//! Pages of sorted lists: only the entries up to the end of the page are sorted.

use std::cmp::Ordering;

/// Which part of a list a page is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Page {
    /// From 1.
    number: usize,
    /// The most entries.
    size: usize,
}

/// A page of a list.
#[derive(Debug)]
pub(super) struct Part<'l, T> {
    /// The number of entries on all pages.
    pub total: usize,
    /// The number of pages; 1 without entries.
    pub pages: usize,
    /// The entries of the page, sorted; none beyond the last page.
    pub entries: &'l [T],
}

impl Page {
    /// The page with a number from 1, of lists in pages of `size` entries.
    pub(super) const fn new(number: usize, size: usize) -> Self {
        Self { number, size }
    }

    /// This page of a list, whose entries are rearranged.
    pub(super) fn of<T>(
        self,
        list: &mut Vec<T>,
        mut order: impl FnMut(&T, &T) -> Ordering,
    ) -> Part<'_, T> {
        let total = list.len();
        let start = (self.number - 1).saturating_mul(self.size).min(total);
        let end = start.saturating_add(self.size).min(total);
        if start < end {
            if end < total {
                list.select_nth_unstable_by(end, &mut order);
            }
            list.truncate(end);
            list.sort_unstable_by(order);
        } else {
            list.clear();
        }
        Part {
            total,
            pages: total.div_ceil(self.size).max(1),
            entries: list.get(start..).unwrap_or_default(),
        }
    }
}
