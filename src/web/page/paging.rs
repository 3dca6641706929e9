//! Captions of lists, and the links between their pages.

use super::format::count;

/// A page of a list, and what the entries are called.
#[derive(Debug, Clone, Copy)]
pub struct Paging {
    /// The number of entries on all pages.
    pub total: usize,
    /// The number of the page, from 1.
    pub page: usize,
    /// The number of pages.
    pub pages: usize,
    /// The most entries of a page.
    pub per_page: usize,
    /// The number of entries of this page.
    pub shown: usize,
    /// What one entry and several are called.
    pub nouns: [&'static str; 2],
}

/// A link to another page of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageLink {
    /// The title.
    pub title: &'static str,
    /// Its address; `None` where there is no such page.
    pub link: Option<String>,
}

impl Paging {
    /// Whether a page is past the end of a list.
    #[must_use]
    pub fn is_past_the_end(&self) -> bool {
        self.page > self.pages
    }

    /// The text above a table: the numbers of the first and last entry, and of all. `order` is the order of the list after a comma, or empty.
    #[must_use]
    pub fn caption(&self, order: &str) -> String {
        let total = counted(self.total, self.nouns);
        if self.is_past_the_end() {
            let pages = counted(self.pages, ["page", "pages"]);
            return format!(
                "Page {} does not exist ({pages}, {total})",
                count(self.page)
            );
        }
        if self.shown == self.total {
            return format!("{total}{order}");
        }
        let before = self.page.saturating_sub(1).saturating_mul(self.per_page);
        let first = count(before.saturating_add(1));
        let last = count(before.saturating_add(self.shown));
        format!("{first} to {last} of {total}{order}")
    }

    /// Which page of how many this is, if there are several.
    #[must_use]
    pub fn position(&self) -> Option<String> {
        (self.pages > 1 && !self.is_past_the_end())
            .then(|| format!("Page {} of {}", count(self.page), count(self.pages)))
    }

    /// The links between pages.
    #[must_use]
    pub fn links(&self, to: impl Fn(usize) -> String) -> Vec<PageLink> {
        // Past the end, the way back leads to the last page.
        let before = self.page.saturating_sub(1).min(self.pages);
        let turn = |title, is_there: bool, number| PageLink {
            title,
            link: is_there.then(|| to(number)),
        };
        let has_next = self.page < self.pages;
        vec![
            turn("First", self.page > 1, 1),
            turn("Previous", self.page > 1, before),
            turn("Next", has_next, self.page.saturating_add(1)),
            turn("Last", has_next, self.pages),
        ]
    }
}

/// A number of things in words.
#[must_use]
pub fn counted(number: usize, [one, several]: [&str; 2]) -> String {
    match number {
        1 => format!("1 {one}"),
        number => format!("{} {several}", count(number)),
    }
}
