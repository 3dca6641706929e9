//! The account itself, and its balance.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::answer::{self, AnswerError, check_reading, valid};
use super::{Bounds, MOST_OF_FEW};

/// Number, name, region and suspensions of an account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountInfo {
    /// Such as `ACC-730215-48816-21`; empty if Starlink leaves it out.
    pub number: String,
    /// The name that the customer gave it; empty if there is none.
    pub name: String,
    /// The code of its region; empty if Starlink leaves it out.
    pub region: String,
    /// The reasons of the active suspensions, sorted, each once.
    pub suspensions: Vec<String>,
}

/// An amount due.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Balance {
    /// The code of the currency.
    pub currency: String,
    /// The amount, in units of the currency.
    pub due: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawAccount<'a> {
    #[serde(borrow)]
    account_number: Option<Cow<'a, str>>,
    #[serde(borrow)]
    region_code: Option<Cow<'a, str>>,
    #[serde(borrow)]
    account_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    active_suspensions: Option<Vec<&'a RawValue>>,
}

/// Reads the answer to `GET account`.
///
/// # Errors
/// The answer is not JSON or has another shape, or all entries of a list in it are invalid.
pub fn parse_account(body: &[u8], bounds: &Bounds) -> Result<AccountInfo, AnswerError> {
    let raw: RawAccount<'_> = answer::content(body)?;
    let text = |text: Option<Cow<'_, str>>| {
        let text = bounds.text(text.as_deref());
        text.unwrap_or_default().to_owned()
    };
    let suspensions = raw.active_suspensions.unwrap_or_default();
    let (texts, mut rejected): (Vec<Cow<'_, str>>, _) = valid(&suspensions);
    let suspensions = texts.iter().filter_map(|text| bounds.text(Some(text)));
    let mut suspensions: Vec<_> = suspensions.map(str::to_owned).collect();
    rejected.add_without_key(texts.len() - suspensions.len());
    // A new shape of suspensions must not look like an account without them.
    check_reading(suspensions.len(), &rejected)?;
    suspensions.sort_unstable();
    suspensions.dedup();
    suspensions.truncate(MOST_OF_FEW);
    Ok(AccountInfo {
        number: text(raw.account_number),
        name: text(raw.account_name),
        region: text(raw.region_code),
        suspensions,
    })
}

#[derive(Deserialize)]
struct RawBalances<'a> {
    /// May be null, but not absent.
    #[serde(borrow, deserialize_with = "Option::deserialize")]
    balances: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawBalance<'a> {
    #[serde(borrow)]
    currency: Cow<'a, str>,
    due_amount: f64,
}

/// Reads the answer to `GET billing/balance`: the amounts due, by currency. Of several with one currency, the last counts.
///
/// # Errors
/// The answer is not JSON or has another shape, or all entries of a list in it are invalid.
pub fn parse_balances(body: &[u8], bounds: &Bounds) -> Result<Vec<Balance>, AnswerError> {
    let raw: RawBalances<'_> = answer::content(body)?;
    let raw = raw.balances.unwrap_or_default();
    let (balances, mut rejected): (Vec<RawBalance<'_>>, _) = valid(&raw);
    let with_currency: Vec<_> = balances
        .iter()
        .filter_map(|balance| Some((bounds.text(Some(&balance.currency))?, balance.due_amount)))
        .collect();
    rejected.add_without_key(balances.len() - with_currency.len());
    check_reading(with_currency.len(), &rejected)?;
    let by_currency = with_currency.into_iter().take(MOST_OF_FEW);
    let by_currency: BTreeMap<_, _> = by_currency.collect();
    let balance = |(currency, due): (&str, f64)| Balance {
        currency: currency.to_owned(),
        due,
    };
    Ok(by_currency.into_iter().map(balance).collect())
}
