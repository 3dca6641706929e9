//! Measures the service's binary under load: `cargo bench --bench load`, or only one part with `-- cadence`, `memory`, `cost`,
//! `accounts`, `idle`, `restart`, `soak`, `history`, `soon` or `backlog`. The last two need real receivers, see `receivers`.
//!
//! The program starts the service's binary, and itself in the roles of its peers: Starlink with a fleet of any size (`feeder`), the
//! simulator, scrapers. All processes use loopback and end with the program.

#[path = "../support/feed.rs"]
mod feed;
#[path = "../support/inventory.rs"]
mod inventory;
#[path = "../support/request.rs"]
mod request;
#[path = "../support/verdict.rs"]
mod verdict;
#[path = "../support/wire.rs"]
mod wire;

mod accounts;
mod cadence;
mod cost;
mod delivery;
mod feeder;
mod history;
mod idle;
mod listed;
mod memory;
mod process;
mod receivers;
mod restart;
mod scraper;
mod soak;

use std::error::Error;

use self::verdict::Verdict;

/// An error that ends the program.
type Failure = Box<dyn Error>;

/// A part of the program: its name on the command line, and its function.
type Part = (&'static str, fn(&mut Verdict) -> Result<(), Failure>);

/// The parts in order.
const PARTS: [Part; 10] = [
    ("cadence", cadence::run),
    ("memory", memory::run),
    ("cost", cost::run),
    ("accounts", accounts::run),
    ("idle", idle::run),
    ("restart", restart::run),
    ("soak", soak::run),
    ("history", history::run),
    ("soon", delivery::soon),
    ("backlog", delivery::backlog),
];

fn main() -> Result<(), Failure> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("feeder") => return feeder::serve(&arguments[1..]),
        Some("simulator") => return idle::simulate(&arguments[1..]),
        Some("scraper") => return scraper::scrape(&arguments[1..]),
        _ => {}
    }
    // cargo passes this argument to benchmarks, but not if it runs them as tests.
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
