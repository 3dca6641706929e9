//! `/`: the exporter, the fleet, the map, and the list of devices.

use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use super::accounts::{self, AccountGroup, STATES};
use super::components::{ComponentRow, components, shown_actors};
use super::facts::{Fact, facts};
use super::format::{count, printable};
use super::history::{DestinationRow, destinations};
use super::map::Map;
use super::paging::PageLink;
use super::suspensions::{Suspension, suspensions};
use super::table::{self, Choice, ColumnHead, Link, OptionalColumns, Row, filter_link};
use super::verdict::Verdict;
use super::{Frame, NO_LOCATIONS, page, render};
use crate::fleet::Snapshot;
use crate::http::{Compress, parameter};
use crate::view::{self, DeviceQuery, DeviceState, NamedFleet, Overview, QueryError, StateFilter};
use crate::web::error::ViewError;
use crate::web::request::{device_query, refused};
use crate::web::state::WebState;
use crate::web::status::{ActorState, Status};
use crate::web::with_fleet::with_fleet;

/// The whole page.
#[derive(Debug, Template)]
#[template(path = "home.html", config = "src/web/page/askama.toml")]
struct Home {
    frame: Frame,
    /// Why the fleet cannot be shown.
    problem: Option<String>,
    /// The accounts that Starlink has suspended.
    suspensions: Vec<Suspension>,
    verdict: Verdict,
    facts: Vec<Fact>,
    supervisor: String,
    components: Vec<ComponentRow>,
    /// None if there is only one.
    accounts: Vec<AccountGroup>,
    /// How many accounts there are.
    accounts_total: String,
    /// None if nothing is sent.
    destinations: Vec<DestinationRow>,
    /// `None` while the store does not answer.
    fleet: Option<FleetSection>,
}

/// The sections about devices.
#[derive(Debug)]
struct FleetSection {
    total: String,
    types: Vec<TypeRow>,
    /// The terminals that have never reported, if there are any.
    never_heard: Option<Link>,
    alerts: Vec<Link>,
    /// For how many devices alerts are unknown.
    unknown_alerts: Option<String>,
    more_alerts: usize,
    map: Map,
    /// What the map shows, in words.
    map_text: String,
    legend: Vec<Link>,
    /// Why there is no map.
    no_map: Option<&'static str>,
    /// Whether a click on the map finds devices.
    is_located: bool,
    /// What is wrong with the query, if anything. Then all devices are listed.
    mistake: Option<String>,
    search: String,
    near: String,
    per_page: Option<String>,
    states: Vec<Choice>,
    kinds: Vec<Choice>,
    /// None if there is only one account.
    accounts: Vec<Choice>,
    active: Vec<Choice>,
    orders: Vec<Choice>,
    is_filtered: bool,
    /// Whether the query has any parameter. Then the page scrolls to the list.
    is_asked: bool,
    /// The length of the list, and the number of all devices if that differs.
    found: String,
    /// The link to the last page, on a page past the end.
    last_page: Option<String>,
    caption: String,
    optional: OptionalColumns,
    heads: Vec<ColumnHead>,
    rows: Vec<Row>,
    /// Which page of how many, if there are several.
    pages: Option<String>,
    page_links: Vec<PageLink>,
}

/// The devices of a type.
#[derive(Debug)]
struct TypeRow {
    name: String,
    link: String,
    /// In the order of [`STATES`].
    states: Vec<Link>,
}

/// The most alerts that are listed, the most frequent first. Starlink has a few dozen.
const MOST_ALERTS: usize = 100;

/// A request with a wrong parameter: what is wrong, and what the form shows so that it can be corrected.
#[derive(Debug)]
struct InvalidQuery {
    mistake: String,
    /// The valid parameters.
    query: DeviceQuery,
    search: String,
    near: String,
}

/// The most characters of a wrong parameter that the form shows.
const MOST_TYPED: usize = 200;

impl InvalidQuery {
    fn of(request: &HttpRequest, error: &QueryError) -> Self {
        let text = |name| {
            let text = parameter(request, name).unwrap_or_default();
            printable(&text.chars().take(MOST_TYPED).collect::<String>())
        };
        let mut query = DeviceQuery::usable(request.query_string());
        // Limited, because the page repeats them.
        for text in [&mut query.device_type, &mut query.alert, &mut query.account] {
            *text = text.take().filter(|text| text.len() <= MOST_TYPED);
        }
        if matches!(error, QueryError::Account(_)) {
            query.account = None;
        }
        Self {
            mistake: printable(&format!("{error}. All devices are listed.")),
            query,
            search: text("search"),
            near: text("near"),
        }
    }
}

/// `/`
pub async fn show(request: HttpRequest, state: web::Data<WebState>) -> HttpResponse {
    let (query, invalid, response) = match device_query(&request, &state) {
        Ok(query) => (query, None, HttpResponse::Ok()),
        Err(error) => {
            let invalid = InvalidQuery::of(&request, &error);
            (DeviceQuery::default(), Some(invalid), refused(&error))
        }
    };
    let shared = state.clone();
    let compress = Compress::accepted(&request);
    let frame = Frame::of(&request);
    let html = with_fleet(&request, &state, move |fleet| {
        let status = Status::of(&shared, &fleet.snapshot);
        let mut section = FleetSection::of(fleet, &status, &query);
        if let Some(invalid) = &invalid {
            section.correct(invalid, &status);
        }
        section.no_map = (!shared.options.has_locations).then_some(NO_LOCATIONS);
        let home = Home::new(frame, &status, &query, Some(section), None);
        render(compress, &home)
    });
    match html.await {
        Ok(html) => page(response, html),
        Err(error) => without_fleet(&request, &state, error),
    }
}

/// The page without the fleet.
pub fn without_fleet(request: &HttpRequest, state: &WebState, error: ViewError) -> HttpResponse {
    let status = Status::of(state, &Snapshot::default());
    let query = DeviceQuery::default();
    let problem = Some(error.to_string());
    let home = Home::new(Frame::of(request), &status, &query, None, problem);
    page(error.response(), render(Compress::accepted(request), &home))
}

impl Home {
    fn new(
        frame: Frame,
        status: &Status,
        query: &DeviceQuery,
        fleet: Option<FleetSection>,
        problem: Option<String>,
    ) -> Self {
        let is_up = |state: ActorState| state == ActorState::Up;
        let actors = shown_actors(status);
        let up = actors.iter().filter(|actor| is_up(actor.state)).count();
        Self {
            frame,
            problem: problem.as_deref().map(printable),
            suspensions: suspensions(&status.inventories()),
            verdict: Verdict::of(status),
            facts: facts(status),
            supervisor: format!("{up} of {} running", actors.len()),
            components: components(&actors),
            accounts: accounts::groups(status, query),
            accounts_total: count(status.accounts.len()),
            destinations: destinations(status),
            fleet,
        }
    }
}

impl FleetSection {
    /// Shows what is wrong with a request, and its parameters in the form.
    fn correct(&mut self, invalid: &InvalidQuery, status: &Status) {
        let overview = &status.fleet;
        let query = &invalid.query;
        self.mistake = Some(invalid.mistake.clone());
        self.search.clone_from(&invalid.search);
        self.near.clone_from(&invalid.near);
        self.states = states(query);
        self.kinds = kinds(overview, query);
        self.accounts = account_choices(status, query);
        self.active = active(overview, query);
        self.orders = table::orders(query, self.optional);
        self.is_asked = true;
    }

    fn of(fleet: &NamedFleet, status: &Status, query: &DeviceQuery) -> Self {
        let overview = &status.fleet;
        let list = view::list(fleet, query);
        let in_state = |state| {
            overview
                .types
                .iter()
                .map(|kind| kind.of(state))
                .sum::<usize>()
        };
        let total: usize = STATES.map(in_state).iter().sum();
        let counts = STATES.map(|state| format!("{} {}", count(in_state(state)), state.name()));
        let near = query.near;
        let optional = OptionalColumns {
            account: status.has_several_accounts(),
            device_type: overview.types.len() > 1,
            data_use: has_data_use(fleet),
        };
        let paging = table::paging(&list);
        let is_standard = query.per_page == DeviceQuery::default().per_page;
        Self {
            total: count(total),
            types: type_rows(overview, query),
            never_heard: never_heard(overview, query),
            alerts: alert_links(overview, query),
            unknown_alerts: unknown_alerts(overview.alerts_unknown, total),
            more_alerts: overview.alerts.len().saturating_sub(MOST_ALERTS),
            map: Map::world(&overview.dots, near),
            map_text: format!(
                "World map with {} of {} devices{}. Of all devices, {}.",
                count(overview.located),
                count(total),
                match overview.located {
                    located if located < total => "; the others report no location",
                    _ => "",
                },
                counts.join(", ")
            ),
            no_map: None,
            is_located: overview.located > 0,
            mistake: None,
            legend: STATES
                .map(|state| legend(query, state, in_state(state)))
                .into(),
            search: query.search.as_deref().map(printable).unwrap_or_default(),
            near: near.map_or(String::new(), |near| {
                format!("{},{}", near.latitude, near.longitude)
            }),
            per_page: (!is_standard).then(|| query.per_page.to_string()),
            states: states(query),
            kinds: kinds(overview, query),
            accounts: account_choices(status, query),
            active: active(overview, query),
            orders: table::orders(query, optional),
            is_filtered: *query
                != DeviceQuery {
                    order: query.order,
                    page: query.page,
                    per_page: query.per_page,
                    ..DeviceQuery::default()
                },
            is_asked: *query != DeviceQuery::default(),
            found: match list.total {
                found if found == total => count(total),
                found => format!("{} of {}", count(found), count(total)),
            },
            last_page: paging
                .is_past_the_end()
                .then(|| table::page_link(query, list.pages)),
            caption: table::caption(&list, query),
            optional,
            heads: table::heads(query, optional),
            rows: list
                .devices
                .iter()
                .map(|device| Row::of(device, query, status.timestamp_seconds))
                .collect(),
            pages: paging.position(),
            page_links: paging.links(|page| table::page_link(query, page)),
        }
    }
}

/// Whether the data use of service lines is known.
fn has_data_use(fleet: &NamedFleet) -> bool {
    let accounts = fleet.snapshot.directory.accounts();
    accounts
        .iter()
        .any(|(_, inventory)| inventory.usage.is_some())
}

fn states(query: &DeviceQuery) -> Vec<Choice> {
    let chosen = query.state.map(StateFilter::name);
    Choice::list(STATES.map(DeviceState::name).into_iter(), chosen)
}

fn kinds(overview: &Overview, query: &DeviceQuery) -> Vec<Choice> {
    let names = overview.types.iter().map(|kind| kind.device_type.as_str());
    Choice::list(names, query.device_type.as_deref())
}

fn account_choices(status: &Status, query: &DeviceQuery) -> Vec<Choice> {
    if !status.has_several_accounts() {
        return Vec::new();
    }
    let names = status.accounts.iter().map(|account| account.name.as_str());
    Choice::list(names, query.account.as_deref())
}

fn active(overview: &Overview, query: &DeviceQuery) -> Vec<Choice> {
    let alerts = overview.alerts.iter().take(MOST_ALERTS);
    let alerts = alerts.map(|alert| alert.alert.as_str());
    Choice::list(alerts, query.alert.as_deref())
}

fn legend(query: &DeviceQuery, state: DeviceState, devices: usize) -> Link {
    let link = filter_link(None, Some(state.into()), None);
    Link::new(state.name(), devices, link, query)
}

fn type_rows(overview: &Overview, query: &DeviceQuery) -> Vec<TypeRow> {
    let rows = overview.types.iter().map(|kind| {
        let name = kind.device_type.as_str();
        let states = STATES.map(|state| {
            let link = filter_link(Some(name), Some(state.into()), None);
            Link::new(state.name(), kind.of(state), link, query)
        });
        TypeRow {
            name: printable(name),
            link: filter_link(Some(name), None, None),
            states: states.into(),
        }
    });
    rows.collect()
}

fn never_heard(overview: &Overview, query: &DeviceQuery) -> Option<Link> {
    let terminals: usize = overview.types.iter().map(|kind| kind.never_heard).sum();
    let link = filter_link(None, Some(StateFilter::NeverHeard), None);
    (terminals > 0).then(|| Link::new("never heard", terminals, link, query))
}

fn alert_links(overview: &Overview, query: &DeviceQuery) -> Vec<Link> {
    let links = overview.alerts.iter().take(MOST_ALERTS).map(|alert| {
        let link = filter_link(None, None, Some(&alert.alert));
        Link::new(&alert.alert, alert.devices, link, query)
    });
    links.collect()
}

/// A sentence about the devices whose alerts are unknown.
fn unknown_alerts(unknown: usize, total: usize) -> Option<String> {
    match unknown {
        0 => None,
        unknown if unknown == total => Some("Unknown: no device is online.".to_owned()),
        unknown => Some(format!(
            "Unknown for {}, which {} not online.",
            table::devices(unknown),
            if unknown == 1 { "is" } else { "are" }
        )),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::super::verdict::tests::{fail, with_accounts};
    use super::*;

    fn html(status: &Status) -> String {
        let frame = Frame::of(&TestRequest::default().to_http_request());
        let query = DeviceQuery::default();
        Home::new(frame, status, &query, None, None)
            .render()
            .unwrap()
    }

    #[test]
    fn several_accounts_are_listed_the_failing_one_first() {
        let names: Vec<_> = (1..=40).map(|number| format!("ship-{number:02}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let mut status = with_accounts(&names);
        fail(&mut status.accounts[6]);
        let page = html(&status);
        assert_eq!(page.matches("<tr data-key=\"ship-").count(), 40);
        let failing = page.find("<tr data-key=\"ship-07\"").unwrap();
        let row = &page[failing..failing + page[failing..].find("</tr>").unwrap()];
        for text in [
            "Failing",
            "Starlink rejected the credentials. Check client_id and client_secret of account ship-07 in ACCOUNTS_FILE.",
        ] {
            assert!(row.contains(text), "{row}");
        }
        let first = page.find("<tr data-key=").unwrap();
        assert_eq!(first, failing);
        let folded = page.find("<details").unwrap();
        assert!(failing < folded && folded < page.find("<tr data-key=\"ship-01\"").unwrap());
        assert!(page.contains("<summary>39 accounts without problems</summary>"));
        assert!(page.contains("1 of 40 accounts fails: ship-07."));
    }

    #[test]
    fn the_only_account_is_not_listed() {
        let page = html(&with_accounts(&["default"]));
        assert!(
            !page.contains("accounts-title") && !page.contains("<details"),
            "{page}"
        );
        for component in ["metrics_store", "token", "stream"] {
            assert!(page.contains(&format!("<th scope=\"row\">{component}</th>")));
        }
    }
}
