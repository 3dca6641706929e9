//! Test certificates, a TLS client, and a TLS-terminating proxy to put before a server.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream as StdTcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix_rt::net::{TcpListener, TcpStream};
use actix_rt::task::spawn_blocking;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, RootCertStore, ServerConfig, StreamOwned,
    SupportedProtocolVersion,
};
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;

use crate::harness::WAIT_LIMIT;
use crate::wire::{self, Response};

/// A certificate authority, with a directory for its files.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: TempDir,
}

/// A certificate and its key, in PEM form.
pub struct Identity {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Self {
        Self::named("an authority of the tests")
    }

    pub fn named(name: &str) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        Self {
            issuer: CertifiedIssuer::self_signed(params, key).unwrap(),
            directory: tempfile::tempdir().unwrap(),
        }
    }

    /// Issues a valid certificate for these names and addresses.
    pub fn issue(&self, names: &[&str]) -> Identity {
        self.sign(params(names))
    }

    /// Issues an expired certificate.
    pub fn issue_expired(&self, names: &[&str]) -> Identity {
        let mut params = params(names);
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    /// A file with the authority's own certificate.
    pub fn file(&self) -> PathBuf {
        self.write("authority.pem", &self.issuer.pem())
    }

    /// The authority's own certificate.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// The path of a file in the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file in the directory.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

/// A TLS client.
pub struct TlsClient {
    config: Arc<ClientConfig>,
}

impl TlsClient {
    /// A client that trusts only the authority, and presents a certificate if it has one.
    pub fn new(
        authority: &Authority,
        versions: &[&'static SupportedProtocolVersion],
        identity: Option<&Identity>,
    ) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(authority.issuer.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => builder
                .with_client_auth_cert(identity.chain(), identity.private_key())
                .unwrap(),
        };
        Self {
            config: Arc::new(config),
        }
    }

    /// Sends a GET request to the server `localhost`. Returns the response and the server's certificate.
    pub async fn get(
        &self,
        address: SocketAddr,
        target: &str,
        headers: &[(&str, &str)],
    ) -> io::Result<(Response, CertificateDer<'static>)> {
        let (answer, connection) = self.talk(address, target, headers).await?;
        let shown = connection.peer_certificates().unwrap()[0].clone();
        Ok((answer, shown.into_owned()))
    }

    /// Requests `/livez`. Returns whether an earlier session of this client was resumed.
    pub async fn resumes(&self, address: SocketAddr) -> bool {
        let (answer, connection) = self.talk(address, "/livez", &[]).await.unwrap();
        assert_eq!(answer.status, 200);
        connection.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    async fn talk(
        &self,
        address: SocketAddr,
        target: &str,
        headers: &[(&str, &str)],
    ) -> io::Result<(Response, ClientConnection)> {
        let config = Arc::clone(&self.config);
        let request = wire::request(address, "GET", target, headers);
        let exchange = move || {
            let name = ServerName::try_from("localhost").unwrap();
            let connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
            let socket = StdTcpStream::connect(address)?;
            socket.set_read_timeout(Some(WAIT_LIMIT))?;
            let mut stream = StreamOwned::new(connection, socket);
            stream.write_all(request.as_bytes())?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer)?;
            Ok((wire::parse(&answer).unwrap(), stream.conn))
        };
        spawn_blocking(exchange).await.unwrap()
    }
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    CertificateParams::new(names).unwrap()
}

impl Identity {
    /// Writes certificate and key to files.
    pub fn write(&self, authority: &Authority, name: &str) -> (PathBuf, PathBuf) {
        let certificate = authority.write(&format!("{name}.pem"), &self.certificate);
        let key = authority.write(&format!("{name}.key"), &self.key);
        (certificate, key)
    }

    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        let chain = CertificateDer::pem_slice_iter(self.certificate.as_bytes());
        chain.collect::<Result<_, _>>().unwrap()
    }

    pub fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap()
    }
}

/// Terminates TLS and forwards the connections to a server without TLS.
pub struct TlsProxy {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl TlsProxy {
    pub async fn before(server: SocketAddr, identity: &Identity) -> Self {
        let provider = Arc::new(ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(identity.chain(), identity.private_key())
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let accepted = Arc::clone(&connections);
        actix_rt::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                let accepted = Arc::clone(&accepted);
                actix_rt::spawn(async move {
                    let Ok(mut client) = acceptor.accept(client).await else {
                        return;
                    };
                    accepted.fetch_add(1, Ordering::Relaxed);
                    let Ok(mut server) = TcpStream::connect(server).await else {
                        return;
                    };
                    // Errors are ignored: both ends see how the connection ends.
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
        Self {
            address,
            connections,
        }
    }

    /// The number of successful handshakes.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}
