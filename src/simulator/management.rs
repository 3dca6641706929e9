//! The endpoints of the management API, and the record of all requests that are neither polls nor token requests.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::{
    Simulator,
    answer::Answer,
    connection::Connection,
    inventory::{
        Fault, Part,
        dates::text_of_nanos,
        listing::{Listing, envelope},
        query::{TelemetryQuery, UsageQuery, WantedPage, parse},
    },
    journal::ManagementRequest,
    lock,
    service::{Script, Service, bearer, send, with_body},
};

/// The scripts of the parts.
#[derive(Debug, Default)]
pub(super) struct Management([PartState; Part::ALL.len()]);

#[derive(Debug, Default)]
struct PartState {
    script: Script,
    listing: Listing,
}

impl Management {
    fn part(&mut self, part: Part) -> &mut PartState {
        &mut self.0[part as usize]
    }
}

impl Simulator {
    /// Sets the answer to every request of a part while none is queued. `None`: the default behaviour. One without a body
    /// ([`Answer::ordinary`]) sends the default body with its faults. Requests that Starlink would reject get no scripted answer.
    pub fn set_inventory_answer(&self, part: Part, answer: Option<Answer>) {
        lock(&self.service.management).part(part).script.default = answer;
    }

    /// Queues an answer to a later request of a part. Each is sent once, in order.
    pub fn push_inventory_answer(&self, part: Part, answer: Answer) {
        let mut management = lock(&self.service.management);
        management.part(part).script.next.push_back(answer);
    }

    /// Replaces the faults of a list (terminals, service lines, data use), and begins with the first reading. Without any, it
    /// is answered correctly.
    pub fn set_inventory_faults(&self, part: Part, faults: impl IntoIterator<Item = Fault>) {
        let faults = faults.into_iter().collect();
        lock(&self.service.management)
            .part(part)
            .listing
            .set_faults(faults);
    }

    /// Replaces the entries of a list, each a JSON text. `None`: the generated ones.
    pub fn set_inventory_entries(&self, part: Part, entries: Option<Vec<String>>) {
        lock(&self.service.management).part(part).listing.entries = entries;
    }
}

/// Answers each request that is neither a poll nor a token request.
pub(super) async fn management(
    request: HttpRequest,
    body: Bytes,
    service: web::Data<Service>,
) -> HttpResponse {
    let Some(connection) = request.conn_data::<Connection>().cloned() else {
        return HttpResponse::ServiceUnavailable().finish();
    };
    let service: Arc<Service> = service.into_inner();
    let part = Part::with_path(request.path());
    let answer = match service.manage(&request, part, &body) {
        Ok(answer) => answer,
        Err((status, reason)) => Answer::error(status, &reason),
    };
    lock(&service.record.journal).add_management_request(ManagementRequest {
        at: service.now(),
        part: part.filter(|part| part.method() == request.method().as_str()),
        method: request.method().as_str().to_owned(),
        path: request.path().to_owned(),
        query: request.query_string().to_owned(),
        body: String::from_utf8_lossy(&body).into_owned(),
        status: (!answer.closed).then_some(answer.status),
    });
    service.record.journal_changed.notify_waiters();
    send(answer, connection, None, &service).await
}

impl Service {
    /// The time of the answers: that of their header `Date`.
    fn now(&self) -> SystemTime {
        self.date().unwrap_or_else(SystemTime::now)
    }

    /// The answer to a request, or the status and the reason of its rejection.
    fn manage(
        &self,
        request: &HttpRequest,
        part: Option<Part>,
        body: &[u8],
    ) -> Result<Answer, (u16, String)> {
        let invalid = |reason| (400, reason);
        let Some(part) = part else {
            return Err(match super::PATHS.contains(&request.path()) {
                true => (405, "Method not allowed".to_owned()),
                false => (404, "Not found".to_owned()),
            });
        };
        if part.method() != request.method().as_str() {
            return Err((405, "Method not allowed".to_owned()));
        }
        let token = bearer(request);
        self.admit(token.and_then(|token| lock(&self.tokens).check(token, Instant::now())))?;
        let wanted = WantedPage::parse(part, request.query_string(), &self.inventory.options)
            .map_err(invalid)?;
        let body = match part {
            Part::DataUsage => Body::Usage(parse(body).map_err(invalid)?),
            Part::Telemetry => Body::Telemetry(parse(body).map_err(invalid)?),
            _ if body.is_empty() => Body::None,
            _ => return Err(invalid("a GET request has no body".to_owned())),
        };

        let mut management = lock(&self.management);
        let state = management.part(part);
        let scripted = state
            .script
            .take()
            .or_else(|| state.listing.take_answer(wanted.page))
            .unwrap_or_else(Answer::ordinary);
        Ok(with_body(scripted, || {
            Answer::text(self.content(part, &mut state.listing, wanted, &body))
        }))
    }

    /// The body of a successful answer.
    fn content(
        &self,
        part: Part,
        listing: &mut Listing,
        wanted: WantedPage,
        body: &Body,
    ) -> String {
        let since_1970 = self.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = since_1970.as_secs_f64();
        match (part, body) {
            (Part::Account, _) => envelope(&self.inventory.account().to_string()),
            (Part::Balance, _) => envelope(&self.inventory.balance().to_string()),
            (_, Body::Telemetry(query)) => envelope(&self.telemetry(query).to_string()),
            (_, Body::Usage(query)) => listing.page(part, &self.inventory, wanted, *query, now),
            (_, Body::None) => {
                listing.page(part, &self.inventory, wanted, UsageQuery::default(), now)
            }
        }
    }

    /// The newest values of the requested devices.
    fn telemetry(&self, query: &TelemetryQuery) -> Value {
        let tick = self.clock.tick_at(Instant::now());
        let terminals = wanted(
            query.include_user_terminals,
            &query.user_terminal_ids,
            |index| self.inventory.terminal_id(index),
            |id| self.inventory.index_of(id),
            self.known_sites(),
        );
        let routers = wanted(
            query.include_routers && self.options.routers,
            &query.router_ids,
            |index| self.inventory.router_id(index),
            |id| self.inventory.index_of(id),
            self.known_sites(),
        );
        let mut user_terminals = Map::new();
        for (id, index) in terminals {
            if let Some(mut values) = self.newest(tick, index) {
                values["userTerminalId"] = json!(id);
                user_terminals.insert(id, values);
            }
        }
        let mut by_router = Map::new();
        for (id, index) in routers {
            if let Some(values) = self.newest(tick, index) {
                let timestamp = &values["timestamp"];
                let router = json!({"routerId": id, "timestamp": timestamp});
                by_router.insert(id, router);
            }
        }
        json!({"userTerminals": user_terminals, "routers": by_router})
    }

    /// The number of sites that have ever reported, which are the first ones.
    fn known_sites(&self) -> usize {
        let silent = self
            .options
            .inventory
            .as_ref()
            .map_or(0, |inventory| inventory.silent);
        self.fleet.terminals + silent
    }

    /// The newest values of a terminal.
    fn newest(&self, tick: u64, index: usize) -> Option<Value> {
        if index < self.fleet.terminals {
            return Some(self.fleet.newest(tick, index, text_of_nanos));
        }
        let age_ns = self.inventory.silence_ns(index)?;
        Some(self.fleet.before_start(index, age_ns, text_of_nanos))
    }
}

/// The body of a request.
enum Body {
    None,
    Usage(UsageQuery),
    Telemetry(TelemetryQuery),
}

/// The requested IDs that exist, with their indices: those of `ids`, or all if it is empty.
fn wanted(
    is_included: bool,
    ids: &[String],
    id_of: impl Fn(usize) -> String,
    index_of: impl Fn(&str) -> Option<usize>,
    count: usize,
) -> Vec<(String, usize)> {
    match (is_included, ids) {
        (false, _) => Vec::new(),
        (true, []) => (0..count).map(|index| (id_of(index), index)).collect(),
        (true, ids) => ids
            .iter()
            .filter_map(|id| Some((id.clone(), index_of(id)?)))
            .filter(|(id, index)| *index < count && id_of(*index) == *id)
            .collect(),
    }
}
