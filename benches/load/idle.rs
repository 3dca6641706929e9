//! Measures the CPU time of a nearly idle service: 100 simulated terminals that report every 15 seconds.

use std::time::{Duration, Instant};

use starlink_telemetry::simulator::{Options, Simulator};

use crate::Failure;
use crate::process::{Helper, Service, wait_for};
use crate::verdict::{Target, Verdict};
use crate::wire;

/// The number of terminals.
const TERMINALS: usize = 100;

/// The duration: two rows of each terminal.
const MEASURED: Duration = Duration::from_secs(30);

/// The linger of a poll: the interval at which the simulator's terminals report.
const LINGER: u32 = 15_000;

/// Measures the CPU time of an idle service.
///
/// # Errors
/// A process does not start.
pub fn run(verdict: &mut Verdict) -> Result<(), Failure> {
    let simulator = Helper::start("simulator", &[TERMINALS])?;
    let service = Service::start(&simulator.hear()?, LINGER)?;
    let is_ready = || -> Result<bool, Failure> {
        let mut answer = String::new();
        let mut stream = wire::request(service.address, "/readyz", false)?;
        std::io::Read::read_to_string(&mut stream, &mut answer)?;
        Ok(answer.starts_with("HTTP/1.1 200"))
    };
    wait_for(Duration::from_secs(60), is_ready)?.ok_or("the service has no rows")?;
    let (before, started) = (service.cpu()?, Instant::now());
    std::thread::sleep(MEASURED);
    let spent = service.cpu()?.saturating_sub(before);
    let share = 100.0 * spent.as_secs_f64() / started.elapsed().as_secs_f64();
    verdict.judge(
        "idle: CPU with 100 terminals",
        "",
        share,
        " % of a core",
        Target::AtMost(0.2),
    );
    Ok(())
}

/// The main function of the simulator's process. Ends when its input ends.
///
/// # Errors
/// The simulator does not start.
pub fn simulate(arguments: &[String]) -> Result<(), Failure> {
    let terminals = arguments.first().ok_or("simulator TERMINALS")?.parse()?;
    let options = Options {
        terminals,
        quirks: false,
        ..Options::default()
    };
    let simulator = Simulator::start(options)?;
    println!("{}", simulator.api_url());
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}
