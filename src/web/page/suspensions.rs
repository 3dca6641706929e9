//! The accounts that Starlink has suspended, in words.

use super::format::printable;
use super::paging::counted;
use crate::web::status::AccountInventory;

/// The most accounts that are shown one by one.
const MOST_SHOWN: usize = 5;

/// The most characters of the reasons of an account.
const MOST_REASON: usize = 200;

/// A sentence about a suspended account, or about several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspension {
    /// Which account is suspended, and why.
    pub what: String,
    /// What an operator can do about it.
    pub remedy: &'static str,
}

/// All suspended accounts, of which only the first are shown one by one.
#[must_use]
pub fn suspensions(inventories: &[AccountInventory]) -> Vec<Suspension> {
    let has_several = inventories.len() > 1;
    let mut suspended = inventories
        .iter()
        .filter_map(|account| suspension(account, has_several));
    let mut shown: Vec<_> = suspended.by_ref().take(MOST_SHOWN).collect();
    match suspended.count() {
        0 => {}
        more => {
            let verb = if more == 1 { "is" } else { "are" };
            let more = counted(more, ["more account", "more accounts"]);
            shown.push(Suspension {
                what: format!("{more} {verb} suspended."),
                remedy: "All are listed in /api/v1/status.",
            });
        }
    }
    shown
}

/// The suspension of an account, if it is suspended.
#[must_use]
pub fn suspension(account: &AccountInventory, has_several: bool) -> Option<Suspension> {
    let AccountInventory { name, inventory } = account;
    if inventory.suspensions.is_empty() {
        return None;
    }
    let name = match (has_several, &inventory.account_number) {
        (true, Some(number)) => format!("account {name} ({number})"),
        (true, None) => format!("account {name}"),
        (false, Some(number)) => format!("account {number}"),
        (false, None) => "the account".to_owned(),
    };
    let reasons = inventory.suspensions.join(", ");
    let shown: String = reasons.chars().take(MOST_REASON).collect();
    let end = if shown.len() < reasons.len() {
        "…"
    } else {
        "."
    };
    Some(Suspension {
        what: printable(&format!("Starlink has suspended {name}: {shown}{end}")),
        remedy: remedy(&reasons),
    })
}

/// What an operator can do about reasons.
fn remedy(reasons: &str) -> &'static str {
    let reasons = reasons.to_ascii_lowercase();
    let is_about_money = ["balance", "pastdue", "past_due", "payment"]
        .iter()
        .any(|word| reasons.contains(word));
    match is_about_money {
        true => {
            "Pay the amount due on the billing page of the account. Until then, its terminals may have no service."
        }
        false => {
            "Ask Starlink's support what is needed to lift it. Until then, its terminals may have no service."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::status::Inventory;

    fn account(name: &str, number: Option<&str>, reasons: &[&str]) -> AccountInventory {
        AccountInventory {
            name: name.to_owned(),
            inventory: Inventory {
                account_number: number.map(str::to_owned),
                suspensions: reasons.iter().map(|&reason| reason.to_owned()).collect(),
                ..Inventory::default()
            },
        }
    }

    fn texts(accounts: &[AccountInventory]) -> Vec<String> {
        let suspensions = suspensions(accounts);
        suspensions.into_iter().map(|found| found.what).collect()
    }

    #[test]
    fn a_suspension_names_the_account_the_reason_and_the_remedy() {
        let [found] = &suspensions(&[account("default", Some("ACC-1"), &["PastDueBalance"])])[..]
        else {
            panic!("there is one");
        };
        assert_eq!(
            found.what,
            "Starlink has suspended account ACC-1: PastDueBalance."
        );
        assert!(
            found.remedy.starts_with("Pay the amount due"),
            "{}",
            found.remedy
        );
        let [found] = &suspensions(&[account("default", None, &["Fraud\n", "Other"])])[..] else {
            panic!("there is one");
        };
        assert_eq!(
            found.what,
            "Starlink has suspended the account: Fraud␊, Other."
        );
        assert!(
            found.remedy.starts_with("Ask Starlink's support"),
            "{}",
            found.remedy
        );
        assert_eq!(suspensions(&[account("default", None, &[])]), []);
    }

    #[test]
    fn several_suspensions_are_bounded() {
        let long = "x".repeat(16 * 1024);
        let mut accounts = vec![
            account("a", None, &[]),
            account("b", Some("ACC-2"), &[&long]),
        ];
        let shown = texts(&accounts);
        assert!(shown[0].starts_with("Starlink has suspended account b (ACC-2): xxx"));
        assert!(
            shown[0].ends_with("x…") && shown[0].len() < 300,
            "{}",
            shown[0]
        );
        accounts.extend((0..5).map(|_| account("c", None, &["Fraud"])));
        let shown = texts(&accounts);
        assert_eq!(shown.len(), MOST_SHOWN + 1);
        assert_eq!(shown[MOST_SHOWN], "1 more account is suspended.");
        accounts.push(account("d", None, &["Fraud"]));
        assert_eq!(
            texts(&accounts)[MOST_SHOWN],
            "2 more accounts are suspended."
        );
    }
}
