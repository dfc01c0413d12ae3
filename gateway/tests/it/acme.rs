//! A certificate that comes by itself, once.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use chassis::telemetry::LogFormat;
use gateway::Config;
use testkit::{TestService, eventually};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use crate::authority::Authority;

const NAME: &str = "shop.test";

/// Whether somebody who believes the authority believes the gateway.
async fn is_believed(test: &TestService, authority: &Authority) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add(authority.root.clone()).unwrap();
    let provider = Arc::new(crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(test.address).await.unwrap();
    let name = ServerName::try_from(NAME).unwrap();
    let connected = TlsConnector::from(Arc::new(config)).connect(name, stream);
    connected.await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_comes_by_itself_and_is_kept() {
    chassis::telemetry::start(LogFormat::Human, "warn,gateway=info");
    let authority = Authority::start().await;
    let mut config = Config::default();
    config.acme.domains = vec![NAME.into()];
    config.acme.directory = format!("http://{}/directory", authority.address);
    let mut test = crate::start(config).await;
    assert!(!is_believed(&test, &authority).await, "nobody looked yet");

    authority.lead(test.address);
    eventually("there is a certificate", || is_believed(&test, &authority)).await;
    let (accounts, orders, refused_nonces) = authority.seen();
    assert_eq!((accounts, orders), (1, 1));
    assert!(refused_nonces > 0, "it was not mean");
    let kept = test.folder.path().join("gateway/acme.secret");
    let mode = std::fs::metadata(kept).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    test.restart().await;
    assert!(is_believed(&test, &authority).await, "it was not kept");
    let (accounts, orders, _) = authority.seen();
    assert_eq!((accounts, orders), (1, 1), "it was asked for again");
    test.finish().await;
}
