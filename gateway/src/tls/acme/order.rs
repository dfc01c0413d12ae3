//! One ACME order: from its creation to the issued chain.

use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Error, Identifier, NewOrder, Order, OrderStatus,
    RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use tokio_rustls::rustls::crypto::ring::sign::any_supported_type;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::sign::CertifiedKey;

use super::Issued;
use crate::tls::certificate::Certificates;

/// Timeout of the authority's validation, and of issuing the certificate.
const POLLS: RetryPolicy = RetryPolicy::new().timeout(Duration::from_secs(120));

/// Orders a certificate: answers the challenge of each domain, then downloads the chain.
///
/// # Errors
/// The authority's error, for the log.
pub(super) async fn obtain(
    account: &Account,
    domains: &[String],
    certificates: &Certificates,
) -> Result<Issued, String> {
    let names: Vec<Identifier> = domains.iter().cloned().map(Identifier::Dns).collect();
    let order = account.new_order(&NewOrder::new(&names)).await;
    let mut order = order.map_err(|error| describe(&error))?;
    let proven = prove(&mut order, certificates).await;
    for domain in domains {
        certificates.challenge(domain, None);
    }
    proven?;
    let key = order.finalize().await.map_err(|error| describe(&error))?;
    let chain = order.poll_certificate(&POLLS).await;
    let chain = chain.map_err(|error| describe(&error))?;
    Ok(Issued { domains: domains.to_vec(), chain, key })
}

/// Answers the challenges of each name in the order.
async fn prove(order: &mut Order, certificates: &Certificates) -> Result<(), String> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(|error| describe(&error))?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let mut challenge = authorization
            .challenge(ChallengeType::TlsAlpn01)
            .ok_or("the authority does not offer the challenge tls-alpn-01")?;
        let name = challenge.identifier().to_string();
        let digest = challenge.key_authorization().digest();
        certificates.challenge(&name, Some(proof(&name, digest.as_ref())?));
        challenge
            .set_ready()
            .await
            .map_err(|error| describe(&error))?;
    }
    let status = order.poll_ready(&POLLS).await;
    match status.map_err(|error| describe(&error))? {
        OrderStatus::Ready => Ok(()),
        _ => Err(refused(order).await),
    }
}

/// The authority's errors for the names that it could not validate.
async fn refused(order: &mut Order) -> String {
    let mut why = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        // The state in `order` is from before the validation.
        let Ok(state) = authorization.refresh().await else {
            continue;
        };
        for error in state.challenges.iter().filter_map(|one| one.error.as_ref()) {
            why.push(error.to_string());
        }
    }
    if why.is_empty() {
        return "the authority refused the order without a reason".into();
    }
    format!(
        "the authority could not validate that the names lead to this host: {}",
        why.join("; ")
    )
}

/// The certificate that answers a challenge (RFC 8737 §3). `CertifiedKey::new` skips the
/// check against the key, which fails on the certificate's critical extension.
fn proof(name: &str, digest: &[u8]) -> Result<CertifiedKey, String> {
    let failed = |error: rcgen::Error| error.to_string();
    let key = KeyPair::generate().map_err(failed)?;
    let mut params = CertificateParams::new([name.to_owned()]).map_err(failed)?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let certificate = params.self_signed(&key).map_err(failed)?;
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let key = any_supported_type(&key.into()).map_err(|error| error.to_string())?;
    Ok(CertifiedKey::new(vec![certificate.der().clone()], key))
}

/// An error with its causes, for the log.
pub(super) fn describe(error: &Error) -> String {
    crate::error::chain(error)
}
