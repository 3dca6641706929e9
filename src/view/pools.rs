//! Lists of data pools, in pages: the pool with the largest share of its limit first.

use serde::Serialize;

use super::NamedFleet;
use super::page::Page;
use super::parameters::{self, QueryError};

/// The parameters, as errors name them.
const PARAMETERS: &str = "account, page, per_page";

/// A query for a list of data pools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolQuery {
    /// Only pools of the account with this name.
    pub account: Option<String>,
    /// The page, from 1.
    pub page: usize,
    /// The most pools of a page.
    pub per_page: usize,
}

impl Default for PoolQuery {
    fn default() -> Self {
        Self {
            account: None,
            page: 1,
            per_page: parameters::PER_PAGE,
        }
    }
}

impl PoolQuery {
    /// Parses the query of a URL. Empty values count as absent.
    ///
    /// # Errors
    /// A parameter is unknown, is given more than once, or has an invalid value.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        parameters::read(text, Self::default(), Self::set)
    }

    /// The query, if it names no account or one that exists.
    ///
    /// # Errors
    /// There is no such account.
    pub fn of_known_account(self, is_known: impl Fn(&str) -> bool) -> Result<Self, QueryError> {
        parameters::known_account(self.account.as_deref(), is_known)?;
        Ok(self)
    }

    /// Sets one parameter, and returns its name.
    fn set(&mut self, name: &str, value: Option<&str>) -> Result<&'static str, QueryError> {
        let part = (&mut self.account, &mut self.page, &mut self.per_page);
        parameters::set_part(part, name, value, PARAMETERS)
    }
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PoolPage {
    /// The number of pools on all pages.
    pub total: usize,
    /// The number of this page, from 1.
    pub page: usize,
    /// The number of pages; 1 if there are no pools.
    pub pages: usize,
    /// The most pools of a page.
    pub per_page: usize,
    /// The pools; empty beyond the last page.
    pub pools: Vec<DataPool>,
}

/// A data pool, from which several service lines take. What is not known is `None`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DataPool {
    /// Its ID.
    pub id: String,
    /// The name of the account.
    pub account: String,
    /// The data that is used of the blocks that are valid now.
    pub used_bytes: Option<f64>,
    /// The size of these blocks.
    pub limit_bytes: Option<f64>,
    /// The share of the limit that is used.
    pub limit_share: Option<f64>,
    /// When Starlink updated these numbers, in seconds since 1970.
    pub updated_timestamp_seconds: Option<f64>,
}

/// The page that a query asks for.
#[must_use]
pub fn pools(fleet: &NamedFleet, query: &PoolQuery) -> PoolPage {
    let accounts = fleet.snapshot.directory.accounts().iter();
    let accounts = accounts.filter(|(name, _)| {
        let account = query.account.as_deref();
        account.is_none_or(|account| account == &**name)
    });
    let mut found = Vec::new();
    for (account, inventory) in accounts {
        let pools = inventory.usage.iter().flat_map(|usage| usage.value.pools());
        found.extend(pools.map(|pool| (share(fleet, pool), account, pool)));
    }
    let part = Page::new(query.page, query.per_page).of(&mut found, |one, other| {
        // `None` is less than any share.
        let by_share = match (one.0, other.0) {
            (Some(one), Some(other)) => other.total_cmp(&one),
            (one, other) => other.is_some().cmp(&one.is_some()),
        };
        by_share
            .then_with(|| one.2.id.cmp(&other.2.id))
            .then_with(|| one.1.cmp(other.1))
    });
    let pools = part.entries.iter().map(|(share, account, pool)| DataPool {
        id: pool.id.clone(),
        account: account.to_string(),
        used_bytes: pool.used_bytes(fleet.unix_now),
        limit_bytes: pool.limit_bytes(fleet.unix_now),
        limit_share: *share,
        updated_timestamp_seconds: pool.updated,
    });
    PoolPage {
        pools: pools.collect(),
        total: part.total,
        page: query.page,
        pages: part.pages,
        per_page: query.per_page,
    }
}

/// The share of a pool that is used.
fn share(fleet: &NamedFleet, pool: &crate::inventory::Pool) -> Option<f64> {
    let limit = pool.limit_bytes(fleet.unix_now)?;
    let used = pool.used_bytes(fleet.unix_now)?;
    (limit > 0.0).then(|| used / limit)
}
