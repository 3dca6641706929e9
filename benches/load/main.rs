//! The service under load, as a process of its own: `cargo bench --bench load`, or with `-- cadence`, `memory`, `cost`, `idle`,
//! `restart`, `soak` one part of it.
//!
//! The program starts the service's real binary, and itself again as whatever the service talks to: Starlink with a fleet of
//! any size (`feeder`), the simulator, scrapers. All listen on loopback and end with it.

#[path = "../support/feed.rs"]
mod feed;
#[path = "../support/request.rs"]
mod request;
#[path = "../support/verdict.rs"]
mod verdict;
#[path = "../support/wire.rs"]
mod wire;

mod cadence;
mod cost;
mod feeder;
mod idle;
mod memory;
mod process;
mod restart;
mod scraper;
mod soak;

use std::error::Error;

use self::verdict::Verdict;

/// Anything that ends the program before its time.
type Failure = Box<dyn Error>;

/// One part of the program: a word on the command line, and what it measures.
type Part = (&'static str, fn(&mut Verdict) -> Result<(), Failure>);

/// The parts in their order.
const PARTS: [Part; 6] = [
    ("cadence", cadence::run),
    ("memory", memory::run),
    ("cost", cost::run),
    ("idle", idle::run),
    ("restart", restart::run),
    ("soak", soak::run),
];

fn main() -> Result<(), Failure> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("feeder") => return feeder::serve(&arguments[1..]),
        Some("simulator") => return idle::simulate(&arguments[1..]),
        Some("scraper") => return scraper::scrape(&arguments[1..]),
        _ => {}
    }
    // cargo names this argument to every benchmark it runs, and not when it runs them as tests.
    let of_cargo = arguments.iter().position(|argument| argument == "--bench");
    let Some(of_cargo) = of_cargo else {
        println!("this takes minutes: cargo bench --bench load");
        return Ok(());
    };
    arguments.remove(of_cargo);
    let is_known = |argument: &String| PARTS.iter().any(|(name, _)| name == argument);
    if let Some(unknown) = arguments.iter().find(|argument| !is_known(argument)) {
        let names = PARTS.map(|(name, _)| name).join(", ");
        return Err(format!("there is no part {unknown:?}: there are {names}").into());
    }
    let mut verdict = Verdict::default();
    for (name, part) in PARTS {
        if arguments.is_empty() || arguments.iter().any(|argument| argument == name) {
            eprintln!("{name} …");
            part(&mut verdict)?;
        }
    }
    verdict.print();
    Ok(())
}
