//! Automatic certificates: one is obtained by ACME, used, and reused after a restart.

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

/// Whether a client that trusts the authority trusts the gateway.
async fn is_trusted(test: &TestService, authority: &Authority) -> bool {
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
async fn a_certificate_is_obtained_by_acme_and_reused_after_a_restart() {
    chassis::telemetry::start(LogFormat::Human, "warn,gateway=info");
    let authority = Authority::start().await;
    let mut config = Config::default();
    config.acme.domains = vec![NAME.into()];
    config.acme.directory = format!("http://{}/directory", authority.address);
    let mut test = crate::start(config).await;
    assert!(
        !is_trusted(&test, &authority).await,
        "the challenge cannot have been validated yet"
    );

    authority.resolve_to(test.address);
    eventually("the certificate is in use", || {
        is_trusted(&test, &authority)
    })
    .await;
    let (accounts, orders, refused_nonces) = authority.seen();
    assert_eq!((accounts, orders), (1, 1));
    assert!(refused_nonces > 0, "the authority refused no nonce");
    let kept = test.folder.path().join("gateway/acme.secret");
    let mode = std::fs::metadata(kept).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    test.restart().await;
    assert!(
        is_trusted(&test, &authority).await,
        "the certificate was not stored"
    );
    let (accounts, orders, _) = authority.seen();
    assert_eq!(
        (accounts, orders),
        (1, 1),
        "the certificate was ordered again"
    );
    test.finish().await;
}
