//! Makes connections: resolves the host or its proxy, connects to the first address that accepts, asks the proxy for a tunnel,
//! and sets up TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_rt::net::TcpStream;
use actix_service::Service;
use actix_tls::connect::{ConnectError as ServiceError, ConnectInfo, Connection};
use awc::http::Uri;
use futures_util::future::LocalBoxFuture;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

use super::Proxy;
use super::error::{ConnectError, FailedAttempts, Peer, Route};
use super::race::{interleave, race};
use super::resolve::Resolver;
use super::stream::{Stream, Transport};
use crate::time::Clock;

/// The options of all connections of a client.
#[derive(Debug, Clone)]
pub struct ConnectorOptions {
    /// Resolves host names.
    pub resolver: Resolver,
    /// Measures pauses and time limits.
    pub clock: Clock,
    /// The time limit of resolving and connecting together; the same again for the tunnel of a proxy, and for the TLS handshake.
    pub limit: Duration,
}

/// Makes the connections of an awc client, either all with TLS or all without. For awc itself the URLs are `http` in both cases.
#[derive(Clone)]
pub(crate) struct Connector {
    options: Arc<ConnectorOptions>,
    /// With TLS settings, every connection uses TLS.
    tls: Option<Arc<TlsOptions>>,
}

/// How connections with TLS are made.
pub(crate) struct TlsOptions {
    /// Verifies certificates.
    pub(crate) config: Arc<ClientConfig>,
    /// The proxy, which is used unless `NO_PROXY` excludes the host.
    pub(crate) proxy: Option<Proxy>,
    /// The name in the certificates of servers, if it is not the host.
    pub(crate) server_name: Option<String>,
}

impl Connector {
    /// A connector without TLS and without a proxy.
    pub(crate) fn plain(options: ConnectorOptions) -> Self {
        Self {
            options: Arc::new(options),
            tls: None,
        }
    }

    /// A connector with TLS.
    pub(crate) fn tls(options: ConnectorOptions, tls: TlsOptions) -> Self {
        Self {
            options: Arc::new(options),
            tls: Some(Arc::new(tls)),
        }
    }

    async fn connect(&self, host: &str, port: u16) -> Result<Stream, ConnectError> {
        let Some(tls) = &self.tls else {
            let peer = Peer {
                host: host.to_owned(),
                is_proxy: false,
            };
            let stream = self.reach(peer, port).await?;
            return Ok(Stream::new(Transport::Plain(stream)));
        };
        let proxy = tls.proxy.as_ref();
        let proxy = proxy.filter(|proxy| proxy.is_for(host, port));
        let peer = Peer {
            host: proxy.map_or(host, |proxy| proxy.host()).to_owned(),
            is_proxy: proxy.is_some(),
        };
        let first_port = proxy.map_or(port, |proxy| proxy.port());
        let mut stream = self.reach(peer, first_port).await?;
        if let Some(proxy) = proxy {
            let tunnel = proxy.tunnel(&mut stream, host, port);
            let limit = self.options.limit;
            let made = within(&self.options.clock, limit, tunnel).await;
            made.ok_or(super::proxy::ProxyError::Timeout { limit })??;
        }
        self.handshake(tls, host, stream, proxy.is_some()).await
    }

    /// Connects to the first address of the host that accepts.
    async fn reach(&self, peer: Peer, port: u16) -> Result<TcpStream, ConnectError> {
        let ConnectorOptions {
            resolver,
            clock,
            limit,
        } = &*self.options;
        let limit = *limit;
        let begin = clock.now();
        let found = within(clock, limit, resolver.lookup(&peer.host, clock)).await;
        let addresses = match found {
            Some(Ok(addresses)) if addresses.is_empty() => Err("it has no address".to_owned()),
            Some(found) => found,
            None => return Err(ConnectError::ResolveTimeout { peer, limit }),
        };
        let addresses = match addresses {
            Ok(addresses) => interleave(&addresses),
            Err(reason) => return Err(ConnectError::Resolve { peer, reason }),
        };
        let addresses: Vec<SocketAddr> = addresses
            .into_iter()
            .map(|address| SocketAddr::new(address, port))
            .collect();
        let left = limit.saturating_sub(clock.now().since(begin));
        let mut attempts = Vec::new();
        let connecting = race(&addresses, clock, &mut attempts, TcpStream::connect);
        match within(clock, left, connecting).await.flatten() {
            Some(stream) => {
                // Requests are written at once, so Nagle's algorithm would only delay them.
                let _ = stream.set_nodelay(true);
                tracing::trace!(host = peer.host, address = ?stream.peer_addr().ok(), "connected");
                Ok(stream)
            }
            None => {
                let attempts = FailedAttempts::new(attempts, limit);
                Err(ConnectError::Unreachable { peer, attempts })
            }
        }
    }

    async fn handshake(
        &self,
        tls: &TlsOptions,
        host: &str,
        stream: TcpStream,
        is_tunnel: bool,
    ) -> Result<Stream, ConnectError> {
        let host = tls.server_name.as_deref().unwrap_or(host);
        let failed = |route, source| ConnectError::Tls {
            host: host.to_owned(),
            route,
            source,
        };
        let route = stream.peer_addr().map(match is_tunnel {
            true => Route::Proxy,
            false => Route::Address,
        });
        let route = match route {
            Ok(route) => route,
            Err(source) => return Err(failed(Route::Unknown, source)),
        };
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned());
        let name = match name {
            Ok(name) => name,
            Err(error) => return Err(failed(route, io::Error::other(error))),
        };
        let connecting = TlsConnector::from(Arc::clone(&tls.config)).connect(name, stream);
        let limit = self.options.limit;
        match within(&self.options.clock, limit, connecting).await {
            Some(Ok(stream)) => {
                tracing::trace!(host, %route, "TLS established");
                Ok(Stream::new(Transport::Tls(Box::new(stream))))
            }
            Some(Err(source)) => Err(failed(route, source)),
            None => Err(ConnectError::TlsTimeout {
                host: host.to_owned(),
                route,
                limit,
            }),
        }
    }
}

/// The output of a future, or `None` after the time limit.
async fn within<T>(clock: &Clock, limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        result = future => Some(result),
        () = clock.sleep(limit) => None,
    }
}

impl Service<ConnectInfo<Uri>> for Connector {
    type Response = Connection<Uri, Stream>;
    type Error = ServiceError;
    type Future = LocalBoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // There is no limit of concurrent connections.
        Poll::Ready(Ok(()))
    }

    fn call(&self, wanted: ConnectInfo<Uri>) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            let (uri, port) = (wanted.request().clone(), wanted.port());
            match connector.connect(wanted.hostname(), port).await {
                Ok(stream) => Ok(Connection::new(uri, stream)),
                Err(error) => Err(ServiceError::Io(io::Error::other(error))),
            }
        })
    }
}
