//! The user terminals of an account, with the routers that are bonded to them.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Bounds;
use super::answer::{self, AnswerError, Page, RawPage, valid};
use super::packed::{Entry, Packed};

/// The prefix of the IDs of terminals in telemetry, which the management API leaves out.
pub(super) const TERMINAL_PREFIX: &str = "ut";

/// The prefix of the IDs of routers in telemetry, which the management API usually leaves out.
pub(super) const ROUTER_PREFIX: &str = "Router-";

/// The terminals and routers of an account, or of one page.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Terminals {
    /// ID, nickname, kit serial, dish serial, service line.
    terminals: Packed<(), 5>,
    /// ID, nickname, ID of the terminal.
    routers: Packed<(), 3>,
    /// The entries of the last complete reading for which there is no room.
    #[serde(default)]
    left_out: usize,
}

/// A terminal. Absent texts are `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terminal<'t> {
    /// The ID without the prefix `ut`.
    pub id: &'t str,
    /// The name that the customer gave it.
    pub nickname: Option<&'t str>,
    /// The serial number of the kit, such as `KIT00310500`.
    pub kit_serial: Option<&'t str>,
    /// The serial number of the dish.
    pub dish_serial: Option<&'t str>,
    /// The number of its service line.
    pub service_line: Option<&'t str>,
}

impl Terminal<'_> {
    /// The ID that telemetry uses.
    #[must_use]
    pub fn device_id(&self) -> String {
        format!("{TERMINAL_PREFIX}{}", self.id)
    }
}

/// A router that is bonded to a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Router<'t> {
    /// The ID without the prefix `Router-`.
    pub id: &'t str,
    /// The name that the customer gave it.
    pub nickname: Option<&'t str>,
    /// The ID of the terminal without the prefix `ut`.
    pub terminal: &'t str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawTerminal<'a> {
    #[serde(borrow)]
    user_terminal_id: Cow<'a, str>,
    #[serde(borrow)]
    nickname: Option<Cow<'a, str>>,
    #[serde(borrow)]
    kit_serial_number: Option<Cow<'a, str>>,
    #[serde(borrow)]
    dish_serial_number: Option<Cow<'a, str>>,
    #[serde(borrow)]
    service_line_number: Option<Cow<'a, str>>,
    #[serde(borrow)]
    routers: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawRouter<'a> {
    #[serde(borrow)]
    router_id: Cow<'a, str>,
    #[serde(borrow)]
    nickname: Option<Cow<'a, str>>,
}

impl Terminals {
    /// Reads a page of the answer to `GET user-terminals`.
    ///
    /// # Errors
    /// The answer is not JSON, or not a page of a list.
    pub fn parse(body: &[u8], bounds: &Bounds) -> Result<Page<Self>, AnswerError> {
        let page: RawPage<'_> = answer::content(body)?;
        let (raw, mut rejected): (Vec<RawTerminal<'_>>, _) = page.entries();
        let mut terminals = Vec::with_capacity(raw.len());
        let mut routers = Vec::new();
        for terminal in &raw {
            let id = without_prefix(&terminal.user_terminal_id, TERMINAL_PREFIX);
            let Some(id) = bounds.text(Some(id)) else {
                continue;
            };
            let texts = [
                &terminal.nickname,
                &terminal.kit_serial_number,
                &terminal.dish_serial_number,
                &terminal.service_line_number,
            ];
            let [nickname, kit, dish, line] =
                texts.map(|text| bounds.text(text.as_deref()).unwrap_or_default());
            terminals.push(Entry::new([id, nickname, kit, dish, line], ()));
            if bounds.routers {
                let bonded = terminal.routers.as_deref().unwrap_or_default();
                let (bonded, _): (Vec<RawRouter<'_>>, _) = valid(bonded);
                routers.extend(bonded.into_iter().map(|router| (router, id)));
            }
        }
        rejected.add_without_key(raw.len() - terminals.len());
        let routers = routers.iter().filter_map(|(router, terminal)| {
            let id = bounds.text(Some(without_prefix(&router.router_id, ROUTER_PREFIX)))?;
            let nickname = bounds.text(router.nickname.as_deref()).unwrap_or_default();
            Some(Entry::new([id, nickname, *terminal], ()))
        });
        let (terminals, left_out) = Packed::of(terminals, bounds.entries);
        let (routers, more_left_out) = Packed::of(routers, bounds.entries);
        Ok(Page {
            entries: Self {
                terminals,
                routers,
                left_out: left_out + more_left_out,
            },
            is_last: page.is_last(),
            rejected,
        })
    }

    /// The list after a complete reading of these pages. An entry that is missing from it is kept, unless it was missing from the
    /// previous one too.
    #[must_use]
    pub fn merged(before: Option<&Self>, pages: &[Self], bounds: &Bounds) -> Self {
        let lists: Vec<_> = pages.iter().map(|page| &page.terminals).collect();
        let known = before.map(|before| &before.terminals);
        let (terminals, left_out) = Packed::merged(known, &lists, bounds.entries);
        let lists: Vec<_> = pages.iter().map(|page| &page.routers).collect();
        let known = before.map(|before| &before.routers);
        let (routers, more_left_out) = Packed::merged(known, &lists, bounds.entries);
        let left_out = left_out + more_left_out;
        Self {
            terminals,
            routers,
            left_out: pages.iter().fold(left_out, |sum, page| sum + page.left_out),
        }
    }

    /// The number of entries of the last complete reading that were left out, because there are more than [`Bounds::entries`].
    #[must_use]
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// The number of terminals.
    #[must_use]
    pub fn len(&self) -> usize {
        self.terminals.len()
    }

    /// Whether there are no terminals.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The terminal at a position of the list, which is sorted by ID.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Terminal<'_>> {
        self.terminals.get(index).map(terminal)
    }

    /// The terminals, sorted by ID.
    pub fn iter(&self) -> impl Iterator<Item = Terminal<'_>> {
        self.terminals.iter().map(terminal)
    }

    /// The number of routers.
    #[must_use]
    pub fn router_count(&self) -> usize {
        self.routers.len()
    }

    /// The router at a position of the list, which is sorted by ID.
    #[must_use]
    pub fn router(&self, index: usize) -> Option<Router<'_>> {
        self.routers.get(index).map(|entry| {
            let [id, nickname, terminal] = entry.texts;
            Router {
                id,
                nickname: some(nickname),
                terminal,
            }
        })
    }

    /// The memory in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.terminals.bytes() + self.routers.bytes()
    }
}

fn terminal(entry: Entry<'_, (), 5>) -> Terminal<'_> {
    let [id, nickname, kit_serial, dish_serial, service_line] = entry.texts;
    Terminal {
        id,
        nickname: some(nickname),
        kit_serial: some(kit_serial),
        dish_serial: some(dish_serial),
        service_line: some(service_line),
    }
}

/// The text, unless it is empty.
pub(super) fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// An ID without a prefix of telemetry, in any case.
pub(super) fn without_prefix<'i>(id: &'i str, prefix: &str) -> &'i str {
    match id.split_at_checked(prefix.len()) {
        Some((start, rest)) if start.eq_ignore_ascii_case(prefix) => rest,
        _ => id,
    }
}

/// The usual spelling of the ID of a terminal in telemetry, which equal IDs have in common: in lower case, with `ut`.
#[must_use]
pub fn usual_terminal_id(id: &str) -> Cow<'_, str> {
    let is_usual = id.starts_with(TERMINAL_PREFIX) && !id.bytes().any(|it| it.is_ascii_uppercase());
    match is_usual {
        true => id.into(),
        false => {
            let bare = without_prefix(id, TERMINAL_PREFIX).to_ascii_lowercase();
            format!("{TERMINAL_PREFIX}{bare}").into()
        }
    }
}
