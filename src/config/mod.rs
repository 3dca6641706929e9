//! The settings: one table, four layers, all errors at once.

mod account;
mod accounts;
mod accounts_error;
mod credential;
mod dotenv;
mod error;
mod hints;
mod layers;
mod origin;
mod parse;
mod reader;
mod recording;
mod sources;
mod table;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use account::{Account, DemoAccount};
pub use accounts::{Accounts, AccountsFile, MOST_ACCOUNTS, follow as follow_accounts};
pub use accounts_error::{AccountsFileError, AccountsFileErrors};
pub use credential::{Credential, CredentialError};
pub use error::{ConfigError, ConfigErrors, Warning};
pub use origin::Origin;
pub use recording::{
    Configured, DestinationFileError, DestinationFileErrors, DestinationFiles, RecordingSettings,
    follow as follow_destinations,
};
pub use sources::{Dotenv, Sources};
pub use table::settings_help;

use crate::exposition::InfoFormat;
use crate::files::FromFile;
use crate::http::AllowedHosts;
use crate::names::Names;
use crate::outgoing::{Authorities, NoProxy, Proxy};
use crate::redaction::Redactor;
use crate::state_file::StateFile;
use crate::telemetry::FieldFilter;
use crate::web_config::Gate;
use error::quoted;
use reader::Reader;

/// All settings, validated.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The service accounts.
    pub accounts: Accounts,
    /// The outgoing connections.
    pub outgoing: Outgoing,
    /// The address of the web server; port 0 is any free port.
    pub listen: SocketAddr,
    /// TLS and authentication; `None` is plain HTTP without authentication.
    pub web_config: Option<FromFile<Arc<Gate>>>,
    /// The allowed host names; `None` if all are allowed.
    pub allowed_hosts: Option<AllowedHosts>,
    /// The address of the separate port for probes, if there is one.
    pub probes: Option<SocketAddr>,
    /// The names of the devices.
    pub names: Option<FromFile<Arc<Names>>>,
    /// The format of `starlink_info`.
    pub info_format: InfoFormat,
    /// The settings of the fleet.
    pub fleet: FleetSettings,
    /// What is read of the management API; `None` if nothing is.
    pub inventory: Option<InventoryScope>,
    /// The state file, if there is one.
    pub state: Option<StateSettings>,
    /// The journal and the destinations of remote write; `None` if nothing is sent.
    pub recording: Option<RecordingSettings>,
    /// The settings of the log.
    pub log: Log,
    /// Holds the secrets of the settings, and later ones such as tokens. Clones of the settings share it.
    pub redactor: Redactor,
    effective: Vec<String>,
    warnings: Vec<Warning>,
}

/// The way to Starlink.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Authorities that are trusted in addition to the machine's.
    pub authorities: Option<Authorities>,
    /// The proxy, if there is one.
    pub proxy: Option<Proxy>,
}

/// The settings of the fleet. The three durations are independent of each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetSettings {
    /// Whether routers are exported.
    pub include_routers: bool,
    /// Which of Starlink's fields are exported.
    pub fields: FieldFilter,
    /// The time without data after which a device is stale; from 1 s to ten years, like the others.
    pub stale_after: Duration,
    /// The time without an allocation row after which the IP series of a terminal end.
    pub ip_stale_after: Duration,
    /// Time without data after which a device is forgotten.
    pub forget_after: Duration,
    /// The most devices; further ones are left out.
    pub max_devices: usize,
}

/// What is read of the management API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InventoryScope {
    /// Whether the amounts due are read.
    pub balance: bool,
}

/// Where the fleet is kept over restarts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateSettings {
    /// The file.
    pub file: PathBuf,
    /// How often it is written.
    pub interval: Duration,
}

/// How the service logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The format of lines.
    pub format: LogFormat,
    /// Directives that `tracing_subscriber::EnvFilter` has been seen to accept.
    pub filter: String,
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text.
    Text,
    /// One JSON object.
    Json,
}

impl Settings {
    /// Merges and validates the settings. Reads only the files that the sources name.
    ///
    /// # Errors
    /// All errors, in the order of the settings.
    pub fn from_sources(sources: Sources) -> Result<Self, ConfigErrors> {
        let mut reader = Reader::new(sources);
        reader.note_config_file();
        let accounts = accounts::read(&mut reader);
        Self::assemble(reader, accounts, "", true)
    }

    /// The settings of the demo: the given accounts replace the configured ones; everything else is as configured. Rows are sent only with
    /// `remote_write`, so that a destination in the settings of a real service does not get simulated terminals by accident.
    ///
    /// # Errors
    /// All errors of the other settings.
    pub fn for_demo(
        sources: Sources,
        accounts: Vec<DemoAccount>,
        remote_write: bool,
    ) -> Result<Self, ConfigErrors> {
        let mut reader = Reader::new(sources);
        reader.note_config_file();
        let accounts = account::demo(&mut reader, accounts);
        // Demo terminals never mix with real ones.
        let accounts = Accounts::fixed(accounts);
        Self::assemble(reader, Some(accounts), ".demo", remote_write)
    }

    /// The output of `check-config`: a line `NAME=value  # origin` for each setting, credentials without their value.
    pub fn effective(&self) -> &[String] {
        &self.effective
    }

    /// The warnings.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// `suffix` is appended to the paths of the state file and of the journal; only the demo has one.
    fn assemble(
        mut reader: Reader,
        accounts: Option<Accounts>,
        suffix: &str,
        remote_write: bool,
    ) -> Result<Self, ConfigErrors> {
        let settings = Self::read(&mut reader, accounts, suffix, remote_write);
        if let Some(settings) = &settings {
            hints::give(&mut reader, settings);
        }
        let finished = reader.finish(settings)?;
        finished.value.register_secrets();
        Ok(Self {
            effective: finished.effective,
            warnings: finished.warnings,
            ..finished.value
        })
    }

    fn register_secrets(&self) {
        Account::register_secrets(self.accounts.list(), &self.redactor);
        for secret in self.outgoing.proxy.iter().flat_map(Proxy::secrets) {
            self.redactor.register(&secret);
        }
        if let Some(recording) = &self.recording {
            recording::register_secrets(&recording.destinations, &self.redactor);
        }
    }

    /// Reads all remaining settings before it checks for errors, so that all errors are reported together.
    fn read(
        reader: &mut Reader,
        accounts: Option<Accounts>,
        suffix: &str,
        remote_write: bool,
    ) -> Option<Self> {
        let outgoing = read_outgoing(reader);
        let listen = read_listen(reader);
        let (web_config, probes_port) = read_web(reader);
        let names = read_names(reader);
        let allowed_hosts = reader.read(&table::ALLOWED_HOSTS, AllowedHosts::parse);
        let info_format = reader.one_of(
            &table::INFO_FORMAT,
            &InfoFormat::ALL.map(|format| (format.name(), format)),
        );
        let fleet = read_fleet(reader);
        let inventory = read_inventory(reader);
        let state = read_state(reader, suffix);
        let recording = recording::read(reader, suffix, remote_write);
        let log = read_log(reader);
        Some(Self {
            accounts: accounts?,
            outgoing: outgoing?,
            listen: listen?,
            web_config,
            probes: listen
                .zip(probes_port)
                .map(|(listen, port)| SocketAddr::new(listen.ip(), port)),
            names,
            allowed_hosts,
            info_format: info_format?,
            fleet: fleet?,
            inventory: inventory?,
            state: state?,
            recording: recording?,
            log: log?,
            redactor: Redactor::default(),
            effective: Vec::new(),
            warnings: Vec::new(),
        })
    }
}

/// The address of the probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbesAddress {
    /// The address that the service binds. For an unspecified one (0.0.0.0, ::), a client on the same machine uses loopback.
    pub address: SocketAddr,
    /// Whether the port may use TLS.
    pub may_be_tls: bool,
}

/// The address of the probes, for a command that needs nothing else. The web configuration is not read, because the service may still
/// use an older one.
///
/// # Errors
/// All errors of the sources, `METRICS_ADDRESS`, `METRICS_PORT` and `PROBES_PORT`.
pub fn probes_address(sources: Sources) -> Result<ProbesAddress, ConfigErrors> {
    let mut reader = Reader::new(sources);
    let listen = read_listen(&mut reader);
    let web_config = reader.read(&table::WEB_CONFIG_FILE, |_| Ok(()));
    let own = reader.whole(&table::PROBES_PORT);
    let listen = reader.finish(listen)?.value;
    Ok(ProbesAddress {
        address: SocketAddr::new(listen.ip(), own.unwrap_or(listen.port())),
        may_be_tls: own.is_none() && web_config.is_some(),
    })
}

/// The web configuration and the port of the probes.
fn read_web(reader: &mut Reader) -> (Option<FromFile<Arc<Gate>>>, Option<u16>) {
    let path = reader.read(&table::WEB_CONFIG_FILE, |text| Ok(PathBuf::from(text)));
    let gate = path.and_then(|path| match Gate::load(&path) {
        Ok((gate, seen)) => Some(FromFile {
            path,
            value: Arc::new(gate),
            seen,
        }),
        Err(source) => {
            reader.refuse(ConfigError::WebConfig { source });
            None
        }
    });
    let port = reader.whole(&table::PROBES_PORT);
    let demands_certificates = gate
        .as_ref()
        .is_some_and(|gate| gate.value.demands_certificates());
    if demands_certificates && port.is_none() {
        let accepted = table::PROBES_PORT.accepts.describe();
        reader.refuse(ConfigError::ProbesShutOut { accepted });
    }
    (gate, port)
}

fn read_authorities(reader: &mut Reader) -> Option<Authorities> {
    let path = reader.read(&table::API_CA_FILE, |text| Ok(PathBuf::from(text)))?;
    match Authorities::load(path.clone()) {
        Ok(authorities) => Some(authorities),
        Err(source) => {
            reader.refuse(ConfigError::Authorities { path, source });
            None
        }
    }
}

fn read_names(reader: &mut Reader) -> Option<FromFile<Arc<Names>>> {
    let path = reader.read(&table::NAMES_FILE, |text| Ok(PathBuf::from(text)))?;
    match Names::load(&path) {
        Ok((names, seen)) => Some(FromFile {
            path,
            value: Arc::new(names),
            seen,
        }),
        Err(source) => {
            reader.refuse(ConfigError::Names { source });
            None
        }
    }
}

fn read_listen(reader: &mut Reader) -> Option<SocketAddr> {
    let address = reader.read(&table::METRICS_ADDRESS, parse::address);
    let port = reader.whole(&table::METRICS_PORT);
    Some(SocketAddr::new(address?, port?))
}

fn read_outgoing(reader: &mut Reader) -> Option<Outgoing> {
    let authorities = read_authorities(reader);
    let proxy = reader.read_shown(&table::HTTPS_PROXY, Proxy::parse, |_, proxy| {
        proxy.to_string()
    });
    let proxy = match proxy {
        Some(proxy) => Some(proxy.except(read_no_proxy(reader))),
        None => {
            reader.note_unread(&table::NO_PROXY, "not read without a proxy");
            None
        }
    };
    Some(Outgoing { authorities, proxy })
}

/// Invalid entries are ignored with a warning, not an error: other programs read the same variable and accept other formats.
fn read_no_proxy(reader: &mut Reader) -> NoProxy {
    const MOST_NAMED: usize = 10;
    let Some((no_proxy, invalid)) = reader.read(&table::NO_PROXY, |text| Ok(NoProxy::parse(text)))
    else {
        return NoProxy::default();
    };
    if !invalid.is_empty() {
        let named = invalid.iter().take(MOST_NAMED).map(|entry| quoted(entry));
        let named = named.collect::<Vec<_>>().join(", ");
        let more = match invalid.len().saturating_sub(MOST_NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let accepted = table::NO_PROXY.accepts.describe();
        let advice = format!("{named}{more} not understood and left out: give {accepted}");
        reader.warn(table::NO_PROXY.name, advice);
    }
    no_proxy
}

fn read_fleet(reader: &mut Reader) -> Option<FleetSettings> {
    let include_routers = reader.read(&table::INCLUDE_ROUTERS, parse::switch);
    let location = reader.read(&table::LOCATION, parse::switch);
    let dropped = reader.read(&table::DROP_FIELDS, parse::expressions);
    let stale_after = reader.whole(&table::STALE_AFTER);
    let ip_stale_after = reader.whole(&table::IP_STALE_AFTER);
    let forget_after = reader.whole(&table::FORGET_AFTER);
    let max_devices = reader.whole(&table::MAX_DEVICES);
    Some(FleetSettings {
        include_routers: include_routers?,
        fields: FieldFilter::new(location?, dropped.unwrap_or_default()),
        stale_after: Duration::from_secs(stale_after?),
        ip_stale_after: Duration::from_secs(ip_stale_after?),
        forget_after: Duration::from_secs(forget_after?),
        max_devices: max_devices?,
    })
}

fn read_inventory(reader: &mut Reader) -> Option<Option<InventoryScope>> {
    let is_read = reader.one_of(&table::INVENTORY, &[("auto", true), ("off", false)]);
    let balance = reader.read(&table::INVENTORY_BALANCE, parse::switch);
    let scope = InventoryScope { balance: balance? };
    Some(is_read?.then_some(scope))
}

/// A missing file is not an error, but a path that cannot be used is.
fn read_state(reader: &mut Reader, suffix: &str) -> Option<Option<StateSettings>> {
    let file = reader.read(&table::STATE_FILE, |text| Ok(PathBuf::from(text)));
    let interval = Duration::from_secs(reader.whole(&table::STATE_INTERVAL)?);
    let file = file.map(|mut file| {
        file.as_mut_os_string().push(suffix);
        file
    });
    if let Some(path) = &file
        && let Err(source) = StateFile::new(path.clone()).check()
    {
        let path = path.clone();
        reader.refuse(ConfigError::StateFile { path, source });
    }
    Some(file.map(|file| StateSettings { file, interval }))
}

fn read_log(reader: &mut Reader) -> Option<Log> {
    let format = reader.one_of(
        &table::LOG_FORMAT,
        &[("text", LogFormat::Text), ("json", LogFormat::Json)],
    );
    let filter = reader.read(&table::RUST_LOG, parse::log_filter);
    Some(Log {
        format: format?,
        filter: filter?,
    })
}
