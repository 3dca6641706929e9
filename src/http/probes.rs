//! The probes: whether the process is alive, and whether it is ready for requests.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

use super::health::{AccountHealth, ActorHealth, Health};
use super::request::{parameter, resource};

/// The paths of the probes.
pub const PATHS: [&str; 3] = ["/livez", "/healthz", "/readyz"];

/// The response to a probe with `?verbose`.
#[derive(Debug, Serialize)]
struct Report<'a> {
    status: &'static str,
    reasons: Vec<String>,
    accounts: Vec<AccountHealth>,
    actors: Vec<Actor<'a>>,
    tasks: Vec<Task<'a>>,
}

#[derive(Debug, Serialize)]
struct Actor<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<&'a str>,
    name: &'a str,
    up: bool,
    trouble: Option<&'a str>,
}

/// A long-running task. A task that cannot work, for example because a file does not respond, does not fail a probe, because a restart
/// would not help.
#[derive(Debug, Serialize)]
struct Task<'a> {
    name: &'a str,
    up: bool,
    trouble: Option<String>,
}

/// Adds the probes to an application.
pub fn resources(config: &mut web::ServiceConfig, health: &web::Data<Health>) {
    config
        .app_data(health.clone())
        .service(resource("/livez", live))
        .service(resource("/healthz", live))
        .service(resource("/readyz", ready));
}

/// Adds the probes and, at all other paths, a 404 that names them.
pub fn only_resources(config: &mut web::ServiceConfig, health: &web::Data<Health>) {
    resources(config, health);
    config.default_service(web::to(not_found));
}

async fn not_found() -> HttpResponse {
    HttpResponse::NotFound()
        .content_type("text/plain; charset=utf-8")
        .body("Not found. Available: /livez, /readyz, /healthz\n")
}

/// Fails only if an actor has ended or hangs, or a task hangs, because only then a restart of the process helps.
async fn live(request: HttpRequest, health: web::Data<Health>) -> HttpResponse {
    respond(&request, &health, health.not_live_because())
}

/// Fails before the first successful poll and during the shutdown.
async fn ready(request: HttpRequest, health: web::Data<Health>) -> HttpResponse {
    let reasons = health.not_ready_because().into_iter();
    respond(&request, &health, reasons.collect())
}

fn respond(request: &HttpRequest, health: &Health, reasons: Vec<String>) -> HttpResponse {
    let (mut response, status) = match reasons.is_empty() {
        true => (HttpResponse::Ok(), "ok"),
        false => (HttpResponse::ServiceUnavailable(), "failing"),
    };
    response.insert_header(("Cache-Control", "no-store"));
    if parameter(request, "verbose").is_some() {
        return response.json(Report {
            status,
            reasons,
            accounts: health.accounts(),
            actors: health.actors().iter().map(Actor::of).collect(),
            tasks: tasks(health),
        });
    }
    let text = match reasons.is_empty() {
        true => status.to_owned(),
        false => reasons.join("; "),
    };
    response
        .content_type("text/plain; charset=utf-8")
        .body(format!("{text}\n"))
}

impl<'a> Actor<'a> {
    fn of(health: &'a ActorHealth) -> Self {
        Self {
            account: health.account.as_deref(),
            name: health.status.role().name(),
            up: health.status.is_up(),
            trouble: health.trouble,
        }
    }
}

fn tasks(health: &Health) -> Vec<Task<'_>> {
    let tasks = health.task_hangs().map(|(task, hangs)| Task {
        name: task.task().name(),
        up: task.is_up(),
        trouble: match hangs {
            true => Some("hangs".to_owned()),
            false => task.obstacle(),
        },
    });
    tasks.collect()
}
