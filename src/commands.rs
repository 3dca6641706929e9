//! Runs the commands of the binary. Their errors are printed or logged here, and become the exit code.

mod check_config;
mod check_destinations;
mod check_inventory;
mod check_journal;
mod demo;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::CommandFactory;
use clap_complete::Shell;
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
use starlink_telemetry::text::with_sources;
use starlink_telemetry::time::Clock;

use crate::console::{complain, print};
use crate::preflight;
use crate::signals::Signals;

/// The exit code for wrong settings.
const EXIT_CONFIG: u8 = 2;

/// How long the shutdown waits until the log is written. Together with the drain it stays below the 5 s of a shutdown.
const LAST_LINES: Duration = Duration::from_millis(100);

/// An error that ends a command.
type Failure = Box<dyn std::error::Error>;

/// Runs a command.
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
            Command::Demo {
                accounts,
                remote_write,
            } => run_demo(cli.config_file, accounts, remote_write).await,
            Command::CheckConfig { connect } => {
                check_config::execute(cli.config_file, connect).await
            }
            Command::Healthcheck => check_health(cli.config_file).await,
            Command::Completions { shell } => print_completions(shell),
        }
    });
    // Dropping it would wait for threads that resolve a name, much longer than a shutdown may take.
    std::mem::forget(system);
    outcome.unwrap_or_else(|failure| match failure.downcast::<ConfigErrors>() {
        Ok(errors) => {
            complain(report(&errors));
            ExitCode::from(EXIT_CONFIG)
        }
        Err(failure) => {
            complain(with_sources(&*failure));
            ExitCode::FAILURE
        }
    })
}

/// All errors and warnings, one on each line.
fn report(errors: &ConfigErrors) -> String {
    let warnings = errors.warnings().iter();
    let warnings: String = warnings
        .map(|warning| format!("\nWARN {warning}"))
        .collect();
    format!("{errors}{warnings}")
}

/// Logs the settings that identify the installation.
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
        journal_dir = path(settings.recording.as_ref().map(|it| it.directory.as_path())),
        "settings"
    );
    let recordings = settings.recording.iter();
    for configured in recordings.flat_map(|recording| &recording.destinations) {
        let destination = &configured.destination;
        info!(
            destination = &*destination.name,
            url = destination.shown_url(),
            "destination"
        );
    }
}

/// Logs the warnings about the settings.
fn log_warnings(settings: &Settings) {
    for Warning { setting, advice } in settings.warnings() {
        warn!(setting, advice, "a setting may be wrong");
    }
    for advice in check_destinations::rates(settings) {
        let setting = "REMOTE_WRITE_FILE";
        warn!(setting, advice, "a setting may be wrong");
    }
}

/// Checks resources and creates the runtime of the main thread.
fn prepare(command: Command) -> Result<Runtime, Failure> {
    if matches!(command, Command::Run | Command::Demo { .. }) {
        // Its error is logged later, when the log has started.
        let _ = raise_limit();
        preflight::check()?;
    }
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build();
    Ok(runtime.map_err(NoRuntime)?)
}

/// The runtime cannot be created, because it cannot open its files.
#[derive(Debug, thiserror::Error)]
#[error("cannot start")]
struct NoRuntime(#[source] std::io::Error);

async fn run(config_file: Option<PathBuf>) -> Result<ExitCode, Failure> {
    let settings = Settings::from_sources(Sources::from_process(config_file))?;
    preflight::check_accounts(settings.accounts.list().len())?;
    let tuning = Tuning::default();
    let logging = start_logging(&settings, &tuning)?;
    log_warnings(&settings);
    let code = serve(settings, tuning, |_| {}).await;
    logging.flush(LAST_LINES);
    Ok(code)
}

async fn run_demo(
    config_file: Option<PathBuf>,
    accounts: u8,
    remote_write: bool,
) -> Result<ExitCode, Failure> {
    let sources = Sources::from_process(config_file);
    // The simulators end when this returns.
    let (simulators, settings) = demo::start(accounts, sources, remote_write)?;
    let tuning = Tuning {
        is_demo: true,
        ..Tuning::default()
    };
    let logging = start_logging(&settings, &tuning)?;
    info!(
        accounts = simulators.len(),
        terminals = simulators.len() * demo::TERMINALS,
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

/// Serves until a signal ends it. Calls `announce` when the service listens. Errors are logged.
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
    // Releases the values of the start, so that they are freed when files are reloaded.
    drop(settings);
    announce(&application);
    let ended = signals.handle(application.reloads());
    let ending = application.run(ended).await;
    info!("stopped");
    Ok(ExitCode::from(ending.exit_code()))
}

fn start_logging(settings: &Settings, tuning: &Tuning) -> Result<Logging, Failure> {
    let dropped = Arc::clone(&tuning.dropped_lines);
    let redactor = settings.redactor.clone();
    Ok(Logging::start(&settings.log, redactor, dropped)?)
}

/// The command `healthcheck`.
async fn check_health(config_file: Option<PathBuf>) -> Result<ExitCode, Failure> {
    let target = match probes_address(Sources::from_process(config_file)) {
        Ok(target) => target,
        Err(errors) => {
            // Container engines accept 0 and 1 from a health check, and reserve 2.
            complain(errors);
            return Ok(ExitCode::FAILURE);
        }
    };
    healthcheck(target).await?;
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

/// The URL of the page for a browser on this machine.
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
    fn the_page_url_works_in_a_local_browser() {
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
