//! Side by side: remote write, and a vmagent that scrapes `/metrics`, while their receiver is away for an hour of simulated time and each is
//! killed once. How many samples are missing afterwards?

use std::env;

use super::programs::{Kind, Process, Programs, Server};
use super::*;
use crate::harness::WAIT_LIMIT;

/// How many times faster the simulated time is: an hour takes three minutes, and a terminal reports every 750 ms. The variable
/// `HISTORY_SPEED` overrides it.
const SPEED: u32 = 20;

/// The time between two rows of a terminal, and between two scrapes.
const INTERVAL: Duration = Duration::from_secs(15);

/// How long vmagent waits at most before it tries again to send, and how many of these times pass until it has sent what it has: no metric
/// of it says that.
const RETRY: Duration = Duration::from_secs(5);
const RETRIES: u32 = 3;

#[actix_rt::test]
async fn an_outage_of_an_hour_costs_no_row() {
    let Some(programs) = Programs::found() else {
        return;
    };
    let speed = env::var("HISTORY_SPEED").ok();
    let speed = speed.map_or(SPEED, |speed| speed.parse().unwrap());
    let options = Options {
        speed: f64::from(speed),
        ..fleet(true)
    };
    let world = World::new(options, Model::victoria_metrics(), "unlimited");
    let mut server = Server::start(&programs, "new", Kind::VictoriaMetrics, "unlimited").await;
    let url = server.write_url();
    let port = super::programs::free_address().port().to_string();
    let changes = [
        ("REMOTE_WRITE_URL", url.as_str()),
        ("METRICS_PORT", port.as_str()),
    ];
    let (mut service, address) = world.start(&changes).await;
    let agent = Agent::new(address, &url, speed);
    let mut scraper = agent.start(&programs);
    eventually("a scrape is there", || async {
        !server.samples(SCRAPED).await.is_empty()
    })
    .await;
    let begun = milliseconds(SystemTime::now());
    reports_six_times(&world, speed).await;

    let outage = HOUR / speed;
    server.stop().await;
    actix_rt::time::sleep(outage / 2).await;
    world.kill(&mut service).await;
    scraper.end("KILL").await;
    let (mut service, _) = world.start(&changes).await;
    scraper = agent.start(&programs);
    actix_rt::time::sleep(outage / 2).await;
    server.start_again().await;
    reports_six_times(&world, speed).await;
    ends(&world.simulator).await;

    let polls = world.simulator.journal().polls.len();
    assert!(polls < 40_000, "the simulator remembers all polls");
    let expected = world.expected(Destination::default()).with_tolerance(1e-12);
    let problems = server.settle(&expected).await;
    let sent = server.samples(WRITTEN).await;
    actix_rt::time::sleep(RETRIES * RETRY).await;
    let scraped = server.samples(SCRAPED).await;
    println!("a receiver that was away for an hour, {speed} times as fast, and a kill -9 of each:");
    for (what, since) in [("with", 0), ("without", begun)] {
        let written = expected.missing(&sent, since);
        let missed = expected.missing(&scraped, since);
        println!(
            "  {what} the backlog at the start, {} samples of {} rows: remote write lost {} samples and {} rows, a vmagent that scrapes {} samples and {} rows",
            written.samples,
            written.rows,
            written.missing_samples,
            written.missing_rows,
            missed.missing_samples,
            missed.missing_rows,
        );
        assert_eq!((written.missing_samples, written.missing_rows), (0, 0));
        assert!(
            missed.missing_samples < missed.samples,
            "vmagent has delivered something"
        );
    }
    assert!(problems.is_empty(), "{problems:#?}");
    scraper.end("TERM").await;
    world.stop(&mut service).await;
}

/// What vmagent has scraped, and what the service has written.
const SCRAPED: &str = r#"via="scrape""#;
const WRITTEN: &str = r#"via="""#;

/// Waits until each terminal has reported six times.
async fn reports_six_times(world: &World, speed: u32) {
    let rows = world.simulator.journal().rows_handed_out + 30;
    let limit = WAIT_LIMIT + 10 * INTERVAL / speed;
    let handed_out = |seen: &_| rows_of(seen) >= rows;
    let happened = world.simulator.wait_until(limit, handed_out).await;
    assert!(happened, "no six reports of each terminal within {limit:?}");
}

/// A vmagent that scrapes the service as often as rows come.
struct Agent {
    directory: TempDir,
    arguments: Vec<String>,
}

impl Agent {
    fn new(address: SocketAddr, url: &str, speed: u32) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name).display().to_string();
        let interval = (INTERVAL / speed).as_millis();
        let configuration = format!(
            "scrape_configs:\n  - job_name: starlink-telemetry\n    scrape_interval: {interval}ms\n    scrape_timeout: {interval}ms\n    static_configs: [{{targets: [\"{address}\"]}}]\n"
        );
        fs::write(at("scrape.yml"), configuration).unwrap();
        let own = super::programs::free_address();
        let arguments = vec![
            format!("-promscrape.config={}", at("scrape.yml")),
            format!("-remoteWrite.url={url}"),
            format!("-remoteWrite.tmpDataPath={}", at("data")),
            format!("-remoteWrite.retryMaxInterval={}s", RETRY.as_secs()),
            "-remoteWrite.label=via=scrape".to_owned(),
            format!("-httpListenAddr={own}"),
            "-memory.allowedBytes=256MB".to_owned(),
        ];
        Self {
            directory,
            arguments,
        }
    }

    fn start(&self, programs: &Programs) -> Process {
        let log = self.directory.path().join("log");
        Process::start(&programs.path("new", "vmagent"), &self.arguments, &log)
    }
}
