//! What each command of the binary does. Errors end here: they are boxed, told and made an exit code.

mod check_config;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::CommandFactory;
use clap_complete::Shell;
use secrecy::SecretString;
use tokio::runtime::Runtime;
use tracing::{error, info, warn};

use starlink_telemetry::app::{Application, Tuning};
use starlink_telemetry::cli::{Cli, Command};
use starlink_telemetry::config::{
    AccountsFile, ConfigErrors, Settings, Sources, Warning, probes_address,
};
use starlink_telemetry::healthcheck::healthcheck;
use starlink_telemetry::http::{raise_limit, reachable};
use starlink_telemetry::logging::Logging;
use starlink_telemetry::simulator::{self, Simulator};
use starlink_telemetry::text::with_sources;
use starlink_telemetry::time::Clock;

use crate::console::{complain, print};
use crate::preflight;
use crate::signals::Signals;

/// The settings are wrong.
const EXIT_CONFIG: u8 = 2;

/// For so long the end waits for a reader of the log. With the drain it stays below the 5 s that an end may take.
const LAST_LINES: Duration = Duration::from_millis(100);

/// How many terminals the demo has.
const DEMO_TERMINALS: usize = 25;

/// How much faster than real time the demo's terminals report: every second instead of every 15.
const DEMO_SPEED: f64 = 15.0;

/// Anything that ends a command before its time.
type Failure = Box<dyn std::error::Error>;

/// Carries out a command line.
pub fn execute(cli: Cli) -> ExitCode {
    let command = cli.command.unwrap_or(Command::Run);
    let runtime = match prepare(command) {
        Ok(runtime) => runtime,
        Err(failure) => {
            complain(with_sources(&*failure));
            return ExitCode::FAILURE;
        }
    };
    let system = actix_rt::System::with_tokio_rt(move || runtime);
    let outcome = system.block_on(async {
        match command {
            Command::Run => run(cli.config_file).await,
            Command::Demo => demo(cli.config_file).await,
            Command::CheckConfig { connect } => {
                check_config::execute(cli.config_file, connect).await
            }
            Command::Healthcheck => check_health(cli.config_file).await,
            Command::Completions { shell } => print_completions(shell),
        }
    });
    // Dropped, it would wait for as long as a name is being looked up, far beyond the seconds that an end may take.
    std::mem::forget(system);
    outcome.unwrap_or_else(|failure| match failure.downcast::<ConfigErrors>() {
        Ok(errors) => {
            complain(told(&errors));
            ExitCode::from(EXIT_CONFIG)
        }
        Err(failure) => {
            complain(with_sources(&*failure));
            ExitCode::FAILURE
        }
    })
}

/// All that is wrong or doubtful, a line for each.
fn told(errors: &ConfigErrors) -> String {
    let warnings = errors.warnings().iter();
    let warnings: String = warnings
        .map(|warning| format!("\nWARN {warning}"))
        .collect();
    format!("{errors}{warnings}")
}

/// Logs the settings that say what this installation does.
fn log_settings(settings: &Settings) {
    let path = |path: Option<&Path>| path.map(|path| path.display().to_string());
    for account in settings.accounts.list() {
        info!(
            account = &*account.name,
            api_host = account.api_url.host_str(),
            batch_size = account.batch_size,
            max_linger_ms = account.max_linger.as_millis(),
            "account"
        );
    }
    info!(
        accounts_file = path(settings.accounts.file().map(AccountsFile::path)),
        proxy = settings.outgoing.proxy.as_ref().map(ToString::to_string),
        state_file = path(settings.state.as_ref().map(|state| state.file.as_path())),
        names_file = path(settings.names.as_ref().map(|file| &*file.path)),
        web_config_file = path(settings.web_config.as_ref().map(|file| &*file.path)),
        include_routers = settings.fleet.include_routers,
        "settings"
    );
}

/// Logs what is doubtful about the settings.
fn log_warnings(settings: &Settings) {
    for Warning { setting, advice } in settings.warnings() {
        warn!(setting, advice, "a setting may be wrong");
    }
}

/// The runtime of the main thread, where the system has what the command needs.
fn prepare(command: Command) -> Result<Runtime, Failure> {
    if matches!(command, Command::Run | Command::Demo) {
        // Told where there is a log.
        let _ = raise_limit();
        preflight::check()?;
    }
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build();
    Ok(runtime.map_err(NoRuntime)?)
}

/// The runtime needs files of its own.
#[derive(Debug, thiserror::Error)]
#[error("cannot start")]
struct NoRuntime(#[source] std::io::Error);

async fn run(config_file: Option<PathBuf>) -> Result<ExitCode, Failure> {
    let settings = Settings::from_sources(Sources::from_process(config_file))?;
    let tuning = Tuning::default();
    let logging = start_logging(&settings, &tuning)?;
    log_warnings(&settings);
    let code = serve(settings, tuning, |_| {}).await;
    logging.flush(LAST_LINES);
    Ok(code)
}

async fn demo(config_file: Option<PathBuf>) -> Result<ExitCode, Failure> {
    let (id, secret) = ("simulated-client-id", "simulated-client-secret");
    let simulator = Simulator::start(simulator::Options {
        client_id: id.to_owned(),
        client_secret: secret.to_owned(),
        terminals: DEMO_TERMINALS,
        routers: true,
        speed: DEMO_SPEED,
        ..simulator::Options::default()
    })?;
    let settings = Settings::for_demo(
        Sources::from_process(config_file),
        simulator.api_url().parse()?,
        SecretString::from(id),
        SecretString::from(secret),
    )?;
    let tuning = Tuning {
        is_demo: true,
        ..Tuning::default()
    };
    let logging = start_logging(&settings, &tuning)?;
    info!(
        terminals = DEMO_TERMINALS,
        "demo: simulated terminals, no Starlink account needed"
    );
    let announce = |application: &Application| {
        let url = page_url(application.address(), application.is_tls());
        info!(url, "demo is running");
    };
    let code = serve(settings, tuning, announce).await;
    logging.flush(LAST_LINES);
    Ok(code)
}

/// Serves until a signal comes; says where as soon as it listens. What goes wrong is logged.
async fn serve(
    settings: Settings,
    tuning: Tuning,
    announce: impl FnOnce(&Application),
) -> ExitCode {
    let served = try_to_serve(settings, tuning, announce).await;
    served.unwrap_or_else(|failure| {
        error!(error = with_sources(&*failure), "cannot start");
        ExitCode::FAILURE
    })
}

async fn try_to_serve(
    settings: Settings,
    tuning: Tuning,
    announce: impl FnOnce(&Application),
) -> Result<ExitCode, Failure> {
    if let Err(error) = raise_limit() {
        warn!(%error, "could not raise the open-file limit");
    }
    let signals = Signals::new()?;
    let application = Application::build(&settings, tuning, Clock::system())?;
    log_settings(&settings);
    // What was read at the start is freed when it is read again.
    drop(settings);
    announce(&application);
    let asked = signals.handle(application.reloads());
    let ending = application.run(asked).await;
    info!("stopped");
    Ok(ExitCode::from(ending.exit_code()))
}

fn start_logging(settings: &Settings, tuning: &Tuning) -> Result<Logging, Failure> {
    let dropped = Arc::clone(&tuning.dropped_lines);
    let redactor = settings.redactor.clone();
    Ok(Logging::start(&settings.log, redactor, dropped)?)
}

/// Asks the service on this machine whether it is alive.
async fn check_health(config_file: Option<PathBuf>) -> Result<ExitCode, Failure> {
    let place = match probes_address(Sources::from_process(config_file)) {
        Ok(place) => place,
        Err(errors) => {
            // Container engines know 0 and 1 of a health check, and reserve 2.
            complain(errors);
            return Ok(ExitCode::FAILURE);
        }
    };
    healthcheck(place).await?;
    Ok(ExitCode::SUCCESS)
}

fn print_completions(shell: Shell) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    clap_complete::generate(shell, &mut command, name, &mut script);
    print(String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}

/// Where a browser on this machine finds the page.
fn page_url(address: SocketAddr, is_tls: bool) -> String {
    let scheme = if is_tls { "https" } else { "http" };
    let here = reachable(address).first().copied().unwrap_or(address);
    let localhost = [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        Ipv6Addr::LOCALHOST.into(),
    ];
    match localhost.contains(&here.ip()) {
        true => format!("{scheme}://localhost:{}/", here.port()),
        false => format!("{scheme}://{here}/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_where_a_browser_finds_it() {
        for (address, is_tls, expected) in [
            ("0.0.0.0:9100", false, "http://localhost:9100/"),
            ("127.0.0.1:9100", true, "https://localhost:9100/"),
            ("[::]:9100", false, "http://localhost:9100/"),
            ("127.0.0.2:9100", false, "http://127.0.0.2:9100/"),
            ("[2001:db8::1]:9100", true, "https://[2001:db8::1]:9100/"),
        ] {
            let address: Result<SocketAddr, _> = address.parse();
            let url = address.map(|address| page_url(address, is_tls));
            assert_eq!(url, Ok(expected.to_owned()));
        }
    }
}
