//! Side by side: remote write, and a vmagent that scrapes `/metrics`, while their receiver is away for an hour of simulated time and each is
//! killed once. How many rows are missing afterwards?

use super::programs::{Kind, Process, Programs, Server};
use super::*;

/// The simulated time is so much faster: an hour takes three minutes, and a terminal reports every 750 ms.
const SPEED: u32 = 20;

#[actix_rt::test]
async fn an_outage_of_an_hour_costs_no_row() {
    let Some(programs) = Programs::found() else {
        return;
    };
    let options = Options {
        speed: f64::from(SPEED),
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
    let agent = Agent::new(address, &url);
    let mut scraper = agent.start(&programs);
    // It may need some scrapes.
    world.hands_out(40).await;
    let begun = milliseconds(SystemTime::now());
    world.hands_out(30).await;

    let outage = HOUR / SPEED;
    server.stop().await;
    actix_rt::time::sleep(outage / 2).await;
    world.kill(&mut service).await;
    scraper.end("KILL").await;
    let (mut service, _) = world.start(&changes).await;
    scraper = agent.start(&programs);
    actix_rt::time::sleep(outage / 2).await;
    server.start_again().await;
    world.hands_out(30).await;
    ends(&world.simulator).await;

    let expected = world.expected(Destination::default()).with_tolerance(1e-12);
    let problems = server.settle(&expected).await;
    let sent = server.samples(r#"via="""#).await;
    // It writes what it has within seconds.
    actix_rt::time::sleep(Duration::from_secs(15)).await;
    let scraped = server.samples(r#"via="scrape""#).await;
    println!("a receiver that was away for an hour, {SPEED} times as fast, and a kill -9 of each:");
    for (what, since) in [("with", 0), ("without", begun)] {
        let (rows, missing) = expected.missing_rows(&sent, since);
        let (_, missed) = expected.missing_rows(&scraped, since);
        println!(
            "  {rows} rows {what} the backlog at the start: remote write lost {missing}, a vmagent that scrapes {missed}"
        );
        assert_eq!(missing, 0);
        assert!(missed < rows, "vmagent has delivered something");
    }
    assert!(problems.is_empty(), "{problems:#?}");
    scraper.end("TERM").await;
    world.stop(&mut service).await;
}

/// A vmagent that scrapes the service as often as rows come.
struct Agent {
    directory: TempDir,
    arguments: Vec<String>,
}

impl Agent {
    fn new(address: SocketAddr, url: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name).display().to_string();
        let interval = 15_000 / SPEED;
        let configuration = format!(
            "scrape_configs:\n  - job_name: starlink-telemetry\n    scrape_interval: {interval}ms\n    scrape_timeout: {interval}ms\n    static_configs: [{{targets: [\"{address}\"]}}]\n"
        );
        fs::write(at("scrape.yml"), configuration).unwrap();
        let own = super::programs::free_address();
        let arguments = vec![
            format!("-promscrape.config={}", at("scrape.yml")),
            format!("-remoteWrite.url={url}"),
            format!("-remoteWrite.tmpDataPath={}", at("data")),
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
