//! Sorts the entries of lists by one of their values.

use std::cmp::Ordering;

use super::service_line::UseRank;

/// The value by which an entry of a list is sorted. All entries of a list have the same variant, or none.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rank<'s> {
    Number(f64),
    Integer(i64),
    Text(&'s str),
    Use(UseRank),
    Absent,
}

impl Rank<'_> {
    /// The order of two entries. Those without the value are last in either direction.
    pub(super) fn compare(self, other: Self, is_descending: bool) -> Ordering {
        let order = match (self, other) {
            (Self::Number(one), Self::Number(other)) => one.total_cmp(&other),
            (Self::Integer(one), Self::Integer(other)) => one.cmp(&other),
            (Self::Text(one), Self::Text(other)) => one.cmp(other),
            (Self::Use(one), Self::Use(other)) => one.compare(other),
            (Self::Absent, Self::Absent) => return Ordering::Equal,
            (Self::Absent, _) => return Ordering::Greater,
            (_, Self::Absent) => return Ordering::Less,
            _ => Ordering::Equal,
        };
        if is_descending {
            order.reverse()
        } else {
            order
        }
    }
}
