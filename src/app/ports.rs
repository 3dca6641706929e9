//! The listening ports: the main one, and the optional one for probes. They are bound first and accept clients last, so that a port that
//! is in use is reported before anything else starts.

use std::net::SocketAddr;

use actix_web::dev::Server;
use actix_web::web::Data;
use tracing::info;

use super::drain::DRAIN_LIMIT;
use super::error::BuildError;
use crate::config::Settings;
use crate::http::{ClientTimeouts, Endpoints, Health, ListenError, Port, serve};

/// The settings of the ports, for errors.
const METRICS_PORT: &str = "METRICS_PORT";
const PROBES_PORT: &str = "PROBES_PORT";

/// The bound ports. They do not accept connections yet.
pub(super) struct Ports {
    metrics: Port,
    probes: Option<Port>,
}

/// The running web servers, and the addresses that they listen on.
pub(super) struct Servers {
    pub(super) address: SocketAddr,
    pub(super) probes_address: Option<SocketAddr>,
    pub(super) servers: Vec<Server>,
}

impl Ports {
    /// Binds the configured ports.
    pub(super) fn take(settings: &Settings) -> Result<Self, ListenError> {
        let take_probes = |address| Port::take(address, PROBES_PORT);
        Ok(Self {
            metrics: Port::take(settings.listen, METRICS_PORT)?,
            probes: settings.probes.map(take_probes).transpose()?,
        })
    }

    /// Starts to accept clients. The port for probes serves nothing else, without TLS.
    pub(super) fn serve(
        self,
        endpoints: Endpoints,
        is_tls: bool,
        health: &Data<Health>,
        timeouts: ClientTimeouts,
    ) -> Result<Servers, BuildError> {
        let serve = |port: Port, endpoints: Endpoints| {
            let address = port.address();
            let listener = port.open()?;
            let server = serve(listener, endpoints, timeouts, DRAIN_LIMIT);
            Ok::<_, BuildError>((address, server.map_err(BuildError::Serve)?))
        };
        let (address, server) = serve(self.metrics, endpoints)?;
        info!(%address, tls = is_tls, version = env!("CARGO_PKG_VERSION"), "listening");
        let mut servers = Servers {
            address,
            probes_address: None,
            servers: vec![server],
        };
        if let Some(port) = self.probes {
            let (address, server) = serve(port, Endpoints::probes(health.clone()))?;
            info!(%address, "probes are served on a separate port");
            servers.probes_address = Some(address);
            servers.servers.push(server);
        }
        Ok(servers)
    }
}
