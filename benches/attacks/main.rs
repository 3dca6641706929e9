//! Runs attacks against the service's binary and compares their cost with docs/LIMITS.md:
//! `cargo bench --bench attacks`; with `-- --short` in a small form that takes less than a minute, with `-- NAME` only one attack.
//!
//! Each attack has its own service with a reporting fleet. During the attack, `/livez` is requested regularly. The program prints peak
//! memory and the longest response time of `/livez` with the limits, and fails if one is exceeded. All traffic is on loopback and
//! limited in count and time.

#[path = "../support/feed.rs"]
#[allow(dead_code, reason = "the rest is used by the other benchmarks")]
mod feed;
#[path = "../load/process.rs"]
#[allow(dead_code, reason = "the rest is used by the other benchmarks")]
mod process;
#[path = "../support/request.rs"]
mod request;

mod bombs;
mod clients;
mod environment;
mod starlink;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use self::environment::{Environment, Verdict};

/// An error that ends the program.
type Failure = Box<dyn Error + Send + Sync>;

/// The size of the attacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Small, for continuous integration.
    Short,
    /// The full size.
    Full,
}

/// One attack.
struct Attack {
    /// Its name on the command line.
    name: &'static str,
    /// The number of terminals, in the short and in the full form.
    fleet: [usize; 2],
    /// How much memory the attack may add to that of the service with its fleet, in MiB (docs/LIMITS.md).
    promise: f64,
    /// Additional settings.
    settings: fn(&environment::Directory) -> Vec<(String, String)>,
    play: fn(&Environment) -> Result<(), Failure>,
}

/// All attacks.
const ATTACKS: [Attack; 10] = [
    Attack {
        name: "repeated-members",
        fleet: [1_000, 1_000],
        promise: 160.0,
        settings: none,
        play: bombs::repeated_members,
    },
    Attack {
        name: "many-columns",
        fleet: [1_000, 1_000],
        promise: 250.0,
        settings: none,
        play: bombs::many_columns,
    },
    Attack {
        name: "much-metadata",
        fleet: [1_000, 1_000],
        promise: 250.0,
        settings: none,
        play: bombs::much_metadata,
    },
    Attack {
        name: "changing-columns",
        fleet: [1_000, 1_000],
        promise: 250.0,
        settings: none,
        play: bombs::changing_columns,
    },
    Attack {
        name: "slow-gzip-shards",
        fleet: [10_000, 100_000],
        promise: 128.0,
        settings: none,
        play: clients::slow_gzip_shards,
    },
    Attack {
        name: "slow-plain",
        fleet: [10_000, 65_000],
        promise: 128.0 + 64.0,
        settings: none,
        play: clients::slow_plain,
    },
    Attack {
        name: "slow-and-different",
        fleet: [10_000, 65_000],
        promise: 128.0 + 64.0 + 64.0,
        settings: none,
        play: clients::slow_and_different,
    },
    Attack {
        name: "slow-lists",
        fleet: [10_000, 65_000],
        promise: 64.0,
        settings: none,
        play: clients::slow_lists,
    },
    Attack {
        name: "idle-after-scrape",
        fleet: [1_000, 1_000],
        promise: 64.0,
        settings: none,
        play: clients::idle_after_scrape,
    },
    Attack {
        name: "wrong-passwords",
        fleet: [1_000, 1_000],
        promise: 32.0,
        settings: clients::users,
        play: clients::wrong_passwords,
    },
];

fn none(_: &environment::Directory) -> Vec<(String, String)> {
    Vec::new()
}

fn main() -> Result<ExitCode, Failure> {
    let mut scale = Scale::Full;
    let mut binary = PathBuf::from(env!("CARGO_BIN_EXE_starlink-telemetry"));
    let mut names = Vec::new();
    let mut is_bench = false;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            // cargo passes this argument to benchmarks, but not if it runs them as tests.
            "--bench" => is_bench = true,
            "--short" => scale = Scale::Short,
            "--binary" => binary = arguments.next().ok_or("--binary PATH")?.into(),
            name if ATTACKS.iter().any(|attack| attack.name == name) => names.push(argument),
            unknown => {
                let known = ATTACKS.map(|attack| attack.name).join(", ");
                return Err(format!("there is no attack {unknown:?}: there are {known}").into());
            }
        }
    }
    if !is_bench {
        println!("this takes minutes: cargo bench --bench attacks");
        return Ok(ExitCode::SUCCESS);
    }
    let mut verdicts = Vec::new();
    for attack in ATTACKS {
        if names.is_empty() || names.iter().any(|name| name == attack.name) {
            eprintln!("{} …", attack.name);
            verdicts.push(play(&attack, scale, &binary)?);
        }
    }
    println!("{}", Verdict::HEAD);
    for verdict in &verdicts {
        println!("{verdict}");
    }
    Ok(match verdicts.iter().all(Verdict::is_kept) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn play(attack: &Attack, scale: Scale, binary: &std::path::Path) -> Result<Verdict, Failure> {
    let terminals = attack.fleet[scale as usize];
    let environment = Environment::new(scale, terminals, binary, attack.settings)?;
    let fault = (attack.play)(&environment).err();
    environment.verdict(attack.name, attack.promise, fault)
}
