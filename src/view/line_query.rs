//! The parameters of `/api/v1/lines` and of the page of service lines.

use super::parameters::{self, Order, QueryError, SortBy};

/// The parameters, as errors name them.
const PARAMETERS: &str = "account, search, sort, page, per_page";

/// The value by which a list of service lines is sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineKey {
    /// The data use: by bytes where there is no limit, then by share of the limit.
    DataUse,
    /// The number.
    Number,
    /// The nickname.
    Nickname,
    /// The reference of the product.
    Product,
    /// The name of the account.
    Account,
    /// The overage.
    Overage,
    /// The end of the subscription or of the line.
    End,
}

impl LineKey {
    /// All of them, with their names.
    pub const ALL: [(Self, &'static str); 7] = [
        (Self::DataUse, "data_use"),
        (Self::Number, "number"),
        (Self::Nickname, "nickname"),
        (Self::Product, "product"),
        (Self::Account, "account"),
        (Self::Overage, "overage"),
        (Self::End, "end"),
    ];
}

impl SortBy for LineKey {
    const KEYS: &'static [(Self, &'static str)] = &Self::ALL;
}

/// A query for a list of service lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineQuery {
    /// Only lines of the account with this name.
    pub account: Option<String>,
    /// Only lines that contain this in their number, nickname, product or tail number; case is ignored.
    pub search: Option<String>,
    /// The order.
    pub order: Order<LineKey>,
    /// The page, from 1.
    pub page: usize,
    /// The most lines of a page.
    pub per_page: usize,
}

impl LineQuery {
    /// The most used lines first.
    const BY_USE: Order<LineKey> = Order {
        key: LineKey::DataUse,
        is_descending: true,
    };
}

impl Default for LineQuery {
    fn default() -> Self {
        Self {
            account: None,
            search: None,
            order: Self::BY_USE,
            page: 1,
            per_page: parameters::PER_PAGE,
        }
    }
}

impl LineQuery {
    /// Parses the query of a URL. Empty values, as forms send them, count as absent.
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
        Ok(match name {
            "search" => {
                self.search = parameters::search(value)?;
                "search"
            }
            "sort" => {
                let order = value.map(Order::parse).transpose()?;
                self.order = order.unwrap_or(Self::BY_USE);
                "sort"
            }
            _ => {
                let part = (&mut self.account, &mut self.page, &mut self.per_page);
                parameters::set_part(part, name, value, PARAMETERS)?
            }
        })
    }

    /// The query of a URL from which [`LineQuery::parse`] makes an equal one.
    #[must_use]
    pub fn to_text(&self) -> String {
        let order = (self.order != Self::BY_USE).then(|| self.order.parameter());
        parameters::to_text([
            ("account", self.account.clone()),
            ("search", self.search.clone()),
            ("sort", order),
            ("page", parameters::page_text(self.page)),
            ("per_page", parameters::per_page_text(self.per_page)),
        ])
    }
}
