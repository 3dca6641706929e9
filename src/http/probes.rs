//! The probes: is the process alive, and is it ready for traffic.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

use super::State;

/// Where the probes answer.
pub const PATHS: [&str; 3] = ["/livez", "/healthz", "/readyz"];

/// What a probe says with `?verbose`.
#[derive(Debug, Serialize)]
struct Verdict<'a> {
    status: &'static str,
    reasons: Vec<String>,
    actors: Vec<Actor<'a>>,
    tasks: Vec<Task<'a>>,
}

#[derive(Debug, Serialize)]
struct Actor<'a> {
    name: &'a str,
    up: bool,
    trouble: Option<&'a str>,
}

/// A long-running task. One that is kept from its work, by a file that does not respond say, fails no probe: a restart would not help.
#[derive(Debug, Serialize)]
struct Task<'a> {
    name: &'a str,
    up: bool,
    trouble: Option<String>,
}

/// Fails only when an actor is gone or hangs, or a task hangs: a restart of the process would help, and only then.
pub async fn live(request: HttpRequest, state: web::Data<State>) -> HttpResponse {
    answer(&request, &state, state.trouble())
}

/// Fails before the first successful poll and while the process ends.
pub async fn ready(request: HttpRequest, state: web::Data<State>) -> HttpResponse {
    let reasons = state.unready().into_iter();
    answer(&request, &state, reasons.collect())
}

fn answer(request: &HttpRequest, state: &State, reasons: Vec<String>) -> HttpResponse {
    let (mut response, status) = if reasons.is_empty() {
        (HttpResponse::Ok(), "ok")
    } else {
        (HttpResponse::ServiceUnavailable(), "failing")
    };
    response.insert_header(("Cache-Control", "no-store"));
    let mut parameters = url::form_urlencoded::parse(request.query_string().as_bytes());
    if parameters.any(|(name, _)| name == "verbose") {
        let ran = state.clock.ran();
        let actors = state.actors.iter().map(|actor| Actor {
            name: actor.role().name(),
            up: actor.is_up(),
            trouble: actor.trouble(ran, state.hang_limit),
        });
        let tasks = state.tasks.iter().map(|task| Task {
            name: task.task().name(),
            up: task.is_up(),
            trouble: match task.hangs(ran, state.hang_limit) {
                true => Some("hangs".to_owned()),
                false => task.obstacle(),
            },
        });
        return response.json(Verdict {
            status,
            reasons,
            actors: actors.collect(),
            tasks: tasks.collect(),
        });
    }
    let text = if reasons.is_empty() {
        status.to_owned()
    } else {
        reasons.join("; ")
    };
    response
        .content_type("text/plain; charset=utf-8")
        .body(format!("{text}\n"))
}
