//! `/`: the exporter, the fleet, the map, and the list of devices.

use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use super::format::{count, printable};
use super::map::Map;
use super::table::{self, Choice, Head, Row, Turn, filter_link};
use super::verdict::{Branch, Fact, Verdict, branches, facts};
use super::{Frame, NO_LOCATIONS, page, render};
use crate::http::Compress;
use crate::http::{State, parameter};
use crate::view::{self, DeviceState, Overview, Question, QuestionError, Scene};
use crate::web::look::{ViewError, look};
use crate::web::status::{ActorState, Status};

/// The whole page.
#[derive(Debug, Template)]
#[template(path = "home.html", config = "src/web/page/askama.toml")]
struct Home {
    frame: Frame,
    /// Why the fleet cannot be shown.
    problem: Option<String>,
    verdict: Verdict,
    facts: Vec<Fact>,
    supervisor: String,
    branches: Vec<Branch>,
    /// `None` while the store does not answer.
    fleet: Option<Fleet>,
}

/// What is known of the devices.
#[derive(Debug)]
struct Fleet {
    total: String,
    types: Vec<TypeRow>,
    alerts: Vec<Link>,
    /// What is not known of the alerts.
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
    /// What is wrong with the request: then all devices are listed.
    mistake: Option<String>,
    search: String,
    near: String,
    per_page: Option<String>,
    states: Vec<Choice>,
    kinds: Vec<Choice>,
    active: Vec<Choice>,
    orders: Vec<Choice>,
    is_filtered: bool,
    /// Whether the list is asked for in any way: it is scrolled to.
    is_asked: bool,
    /// How many devices the list has, of how many.
    found: String,
    /// Leads from a page past the end to the last one.
    last_page: Option<String>,
    caption: String,
    heads: Vec<Head>,
    rows: Vec<Row>,
    /// Which page of how many, if there are several.
    pages: Option<String>,
    turns: Vec<Turn>,
}

/// The devices of a type.
#[derive(Debug)]
struct TypeRow {
    name: String,
    link: String,
    /// In the order of [`STATES`].
    states: Vec<Link>,
}

/// So many alerts are named, the most frequent ones. Starlink has a few dozen.
const MOST_ALERTS: usize = 100;

/// A link to a list of devices, with its length.
#[derive(Debug)]
struct Link {
    title: String,
    count: String,
    is_none: bool,
    link: String,
    is_current: bool,
}

/// In the order of display.
const STATES: [DeviceState; 3] = [
    DeviceState::Online,
    DeviceState::Unknown,
    DeviceState::Offline,
];

/// A request that cannot be answered: what is wrong with it, and what to show in the form so that it can be corrected.
#[derive(Debug)]
struct Typed {
    mistake: String,
    /// What can be used of it.
    question: Question,
    search: String,
    near: String,
}

/// Longer texts of a request that is wrong are cut in the form.
const MOST_TYPED: usize = 200;

impl Typed {
    fn of(request: &HttpRequest, error: &QuestionError) -> Self {
        let text = |name| {
            let text = parameter(request, name).unwrap_or_default();
            printable(&text.chars().take(MOST_TYPED).collect::<String>())
        };
        let mut question = Question::usable(request.query_string());
        // The form repeats them.
        for text in [&mut question.device_type, &mut question.alert] {
            *text = text.take().filter(|text| text.len() <= MOST_TYPED);
        }
        Self {
            mistake: printable(&format!("{error}. All devices are listed.")),
            question,
            search: text("search"),
            near: text("near"),
        }
    }
}

/// `/`
pub async fn show(request: HttpRequest, state: web::Data<State>) -> HttpResponse {
    let (question, typed) = match Question::parse(request.query_string()) {
        Ok(question) => (question, None),
        Err(error) => (Question::default(), Some(Typed::of(&request, &error))),
    };
    let response = match &typed {
        None => HttpResponse::Ok(),
        Some(_) => HttpResponse::BadRequest(),
    };
    let shared = state.clone();
    let compress = Compress::accepted(&request);
    let frame = Frame::of(&request);
    let seen = look(&request, &state, move |scene| {
        let status = Status::of(&shared, Overview::of(&scene.snapshot));
        let mut fleet = Fleet::of(scene, &status, &question);
        if let Some(typed) = &typed {
            fleet.correct(typed, &status.fleet);
        }
        fleet.no_map = (!shared.has_locations).then_some(NO_LOCATIONS);
        render(compress, &Home::new(frame, &status, Some(fleet), None))
    });
    match seen.await {
        Ok(html) => page(response, html),
        Err(blind) => unseen(&request, &state, blind),
    }
}

/// The page without the fleet.
pub fn unseen(request: &HttpRequest, state: &State, blind: ViewError) -> HttpResponse {
    let status = Status::of(state, Overview::default());
    let home = Home::new(Frame::of(request), &status, None, Some(blind.to_string()));
    page(blind.response(), render(Compress::accepted(request), &home))
}

impl Home {
    fn new(frame: Frame, status: &Status, fleet: Option<Fleet>, problem: Option<String>) -> Self {
        let is_up = |state: ActorState| state == ActorState::Up;
        let up = status
            .actors
            .iter()
            .filter(|actor| is_up(actor.state))
            .count();
        Self {
            frame,
            problem: problem.as_deref().map(printable),
            verdict: Verdict::of(status),
            facts: facts(status),
            supervisor: format!("{up} of {} running", status.actors.len()),
            branches: branches(&status.actors),
            fleet,
        }
    }
}

impl Fleet {
    /// Shows what is wrong with a request, and what it was in the form.
    fn correct(&mut self, typed: &Typed, overview: &Overview) {
        let question = &typed.question;
        self.mistake = Some(typed.mistake.clone());
        self.search.clone_from(&typed.search);
        self.near.clone_from(&typed.near);
        self.states = states(question);
        self.kinds = kinds(overview, question);
        self.active = active(overview, question);
        self.orders = table::orders(question);
        self.is_asked = true;
    }

    fn of(scene: &Scene, status: &Status, question: &Question) -> Self {
        let overview = &status.fleet;
        let list = view::list(scene, question);
        let in_state = |state| {
            overview
                .types
                .iter()
                .map(|kind| kind.of(state))
                .sum::<usize>()
        };
        let total: usize = STATES.map(in_state).iter().sum();
        let counts = STATES.map(|state| format!("{} {}", count(in_state(state)), state.name()));
        let near = question.near;
        let is_standard = question.per_page == Question::default().per_page;
        Self {
            total: count(total),
            types: type_rows(overview, question),
            alerts: alert_links(overview, question),
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
                .map(|state| legend(question, state, in_state(state)))
                .into(),
            search: question
                .search
                .as_deref()
                .map(printable)
                .unwrap_or_default(),
            near: near.map_or(String::new(), |near| {
                format!("{},{}", near.latitude, near.longitude)
            }),
            per_page: (!is_standard).then(|| question.per_page.to_string()),
            states: states(question),
            kinds: kinds(overview, question),
            active: active(overview, question),
            orders: table::orders(question),
            is_filtered: *question
                != Question {
                    order: question.order,
                    page: question.page,
                    per_page: question.per_page,
                    ..Question::default()
                },
            is_asked: *question != Question::default(),
            found: match list.total {
                found if found == total => count(total),
                found => format!("{} of {}", count(found), count(total)),
            },
            last_page: table::is_past_the_end(&list).then(|| {
                table::link(&Question {
                    page: list.pages,
                    ..question.clone()
                })
            }),
            caption: table::caption(&list, question),
            heads: table::heads(question),
            rows: list
                .devices
                .iter()
                .map(|device| Row::of(device, question, status.timestamp_seconds))
                .collect(),
            pages: (list.pages > 1 && !table::is_past_the_end(&list))
                .then(|| format!("Page {} of {}", count(list.page), count(list.pages))),
            turns: table::turns(&list, question),
        }
    }
}

impl Link {
    fn new(title: &str, devices: usize, link: String, question: &Question) -> Self {
        Self {
            title: printable(title),
            count: count(devices),
            is_none: devices == 0,
            is_current: link == table::link(question),
            link,
        }
    }
}

fn states(question: &Question) -> Vec<Choice> {
    let chosen = question.state.map(DeviceState::name);
    Choice::list(STATES.map(DeviceState::name).into_iter(), chosen)
}

fn kinds(overview: &Overview, question: &Question) -> Vec<Choice> {
    let names = overview.types.iter().map(|kind| kind.device_type.as_str());
    Choice::list(names, question.device_type.as_deref())
}

fn active(overview: &Overview, question: &Question) -> Vec<Choice> {
    let alerts = overview.alerts.iter().take(MOST_ALERTS);
    let alerts = alerts.map(|alert| alert.alert.as_str());
    Choice::list(alerts, question.alert.as_deref())
}

fn legend(question: &Question, state: DeviceState, devices: usize) -> Link {
    let link = filter_link(None, Some(state), None);
    Link::new(state.name(), devices, link, question)
}

fn type_rows(overview: &Overview, question: &Question) -> Vec<TypeRow> {
    let rows = overview.types.iter().map(|kind| {
        let name = kind.device_type.as_str();
        let states = STATES.map(|state| {
            let link = filter_link(Some(name), Some(state), None);
            Link::new(state.name(), kind.of(state), link, question)
        });
        TypeRow {
            name: printable(name),
            link: filter_link(Some(name), None, None),
            states: states.into(),
        }
    });
    rows.collect()
}

fn alert_links(overview: &Overview, question: &Question) -> Vec<Link> {
    let links = overview.alerts.iter().take(MOST_ALERTS).map(|alert| {
        let link = filter_link(None, None, Some(&alert.alert));
        Link::new(&alert.alert, alert.devices, link, question)
    });
    links.collect()
}

/// Says for how many of the devices it is not known whether they have alerts.
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
