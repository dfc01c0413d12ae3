//! Where the load goes: an address, a version of HTTP, and TLS.
//!
//! **Invariant:** by TLS, the server's certificate is always verified.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use reqwest::Url;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::http1::ByteStream;

/// The protocol of every connection of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum HttpVersion {
    #[default]
    Http1,
    /// With so many workers on a connection.
    Http2 { streams: usize },
}

/// The server under load.
#[derive(Clone)]
pub(crate) struct LoadTarget {
    address: SocketAddr,
    host: String,
    version: HttpVersion,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl LoadTarget {
    /// A server that speaks HTTP/1.1 without TLS.
    pub(crate) fn plain(address: SocketAddr) -> Self {
        let version = HttpVersion::default();
        Self { address, host: address.to_string(), version, tls: None }
    }

    /// The server of a URL. With `https` its certificate is verified by `roots`, a PEM file, or
    /// by the public authorities.
    pub(crate) fn of(
        url: &Url,
        version: HttpVersion,
        roots: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let name = url
            .host_str()
            .with_context(|| format!("{url} names no host"))?;
        let port = url.port_or_known_default().unwrap_or(80);
        let found = (name.trim_matches(['[', ']']), port).to_socket_addrs();
        let mut found = found.with_context(|| format!("cannot find {name}"))?;
        let address = found
            .next()
            .with_context(|| format!("{name} has no address"))?;
        let host = url
            .port()
            .map_or(name.to_owned(), |port| format!("{name}:{port}"));
        let tls = match url.scheme() {
            "http" => None,
            "https" => Some(tls(name, version, roots)?),
            other => anyhow::bail!("a shop is reached by http or https, not {other}"),
        };
        Ok(Self { address, host, version, tls })
    }

    pub(super) fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// A new connection, after its handshake.
    pub(super) async fn stream(&self) -> io::Result<Box<dyn ByteStream>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(match &self.tls {
            None => Box::new(stream),
            Some((connector, name)) => Box::new(connector.connect(name.clone(), stream).await?),
        })
    }

    pub(super) fn version(&self) -> HttpVersion {
        self.version
    }
}

fn tls(
    name: &str,
    version: HttpVersion,
    roots: Option<&Path>,
) -> anyhow::Result<(TlsConnector, ServerName<'static>)> {
    let mut store = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    if let Some(file) = roots {
        let shown = file.display();
        let read = CertificateDer::pem_file_iter(file);
        let read = read.with_context(|| format!("cannot read {shown}"))?;
        let mut count = 0;
        for certificate in read {
            store.add(certificate.with_context(|| format!("in {shown}"))?)?;
            count += 1;
        }
        ensure!(count > 0, "{shown} has no certificate in PEM");
    }
    let mut config = ClientConfig::builder()
        .with_root_certificates(store)
        .with_no_client_auth();
    config.alpn_protocols = match version {
        HttpVersion::Http1 => vec![b"http/1.1".to_vec()],
        HttpVersion::Http2 { .. } => vec![b"h2".to_vec()],
    };
    let server = name.trim_matches(['[', ']']).to_owned();
    let server = ServerName::try_from(server).with_context(|| format!("{name} is no host"))?;
    Ok((TlsConnector::from(Arc::new(config)), server))
}
