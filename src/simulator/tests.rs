//! Tests of the simulator by plain clients: awc for valid HTTP, a socket for broken responses.

mod inventory_faults;
mod management;
mod polls;
mod sending;
mod shapes;
mod tokens;

use std::{collections::BTreeSet, future::Future, io::Read};

use serde_json::{Value, json};

use super::*;

/// The time limit of waits. Successful tests do not wait that long.
const WAIT_LIMIT: Duration = Duration::from_secs(20);
const NO_LINGER: (u32, u32) = (65_000, 0);

fn run<T>(future: impl Future<Output = T>) -> T {
    actix_rt::System::new().block_on(future)
}

fn start(options: Options) -> Simulator {
    Simulator::start(options).expect("a simulator")
}

fn plain(terminals: usize) -> Options {
    Options {
        terminals,
        quirks: false,
        ..Options::default()
    }
}

fn client() -> awc::Client {
    awc::Client::builder()
        .timeout(WAIT_LIMIT)
        .disable_redirects()
        .finish()
}

async fn post_form(url: &str, form: &[(&str, &str)]) -> (u16, Value) {
    let mut answer = client()
        .post(url)
        .send_form(&form)
        .await
        .expect("an answer");
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap_or(Value::Null))
}

async fn token(simulator: &Simulator) -> String {
    let url = format!("{}/auth/connect/token", simulator.api_url());
    let form = [
        ("client_id", "client"),
        ("client_secret", "secret"),
        ("grant_type", "client_credentials"),
    ];
    let (status, body) = post_form(&url, &form).await;
    assert_eq!(status, 200);
    body["access_token"].as_str().expect("a token").to_owned()
}

fn send(simulator: &Simulator, token: &str, body: &Value) -> awc::SendClientRequest {
    client()
        .post(format!("{}/v2/telemetry/stream", simulator.api_url()))
        .bearer_auth(token)
        .send_json(body)
}

async fn poll(simulator: &Simulator, token: &str, wanted: (u32, u32)) -> (u16, Value) {
    let body = json!({"batchSize": wanted.0, "maxLingerMs": wanted.1});
    let mut answer = send(simulator, token, &body).await.expect("an answer");
    let status = answer.status().as_u16();
    let body = answer.body().limit(100 << 20).await.expect("a body");
    let is_gzip = answer.headers().contains_key("content-encoding");
    let body = if is_gzip {
        unzipped(&body)
    } else {
        body.to_vec()
    };
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

fn unzipped(body: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut decoder = flate2::read::GzDecoder::new(body);
    decoder.read_to_end(&mut plain).expect("one gzip member");
    plain
}

fn rows(body: &Value) -> Vec<String> {
    let rows = body["data"]["values"].as_array().expect("values");
    rows.iter().map(Value::to_string).collect()
}

#[test]
fn waiting_for_the_journal_ends_at_the_limit() {
    let simulator = start(Options::default());
    assert!(!run(simulator
        .wait_until(Duration::from_millis(5), |journal| !journal
            .polls
            .is_empty())));
}

#[test]
fn a_new_simulator_can_start_on_the_same_port() {
    let first = start(plain(2));
    let port = first.address().port();
    let taken = Simulator::start(Options {
        port,
        ..Options::default()
    });
    assert!(matches!(taken, Err(SimulatorError::Listen { .. })));
    first.stop();
    let second = start(Options {
        port,
        ..Options::default()
    });
    assert_eq!(
        second.api_url(),
        format!("http://127.0.0.1:{port}/api/public")
    );
}

#[test]
fn a_speed_out_of_range_is_an_error() {
    for speed in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let result = Simulator::start(Options {
            speed,
            ..Options::default()
        });
        assert!(matches!(result, Err(SimulatorError::Speed(_))), "{speed}");
    }
}

#[test]
fn debug_output_contains_no_secret() {
    let simulator = start(Options::default());
    let text = format!("{simulator:?}");
    assert!(!text.contains("secret"), "{text}");
}
