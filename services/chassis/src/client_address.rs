//! Client addresses, and the networks that rate limits count them by.
//!
//! The gateway replaces a client's `X-Forwarded-For` with the peer address of its
//! connection. Services listen on loopback only, so a request without the header comes
//! from this host.
//!
//! **Invariant:** a header that is no address is the unspecified address, which has none
//! of the privileges of this host.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

/// The peer address of the connection on which the gateway received a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

impl<S: Send + Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let ip = match parts.headers.get("x-forwarded-for") {
            None => Ipv4Addr::LOCALHOST.into(),
            Some(value) => value
                .to_str()
                .ok()
                .and_then(|text| text.parse().ok())
                .unwrap_or(IpAddr::from(Ipv4Addr::UNSPECIFIED)),
        };
        Ok(Self(ip.to_canonical()))
    }
}

/// The network that an address is counted by, as a number: an IPv4 address alone, an IPv6
/// address with its /64, which is the share of one customer (RFC 6177 §2).
pub fn network(ip: IpAddr) -> u128 {
    match ip.to_canonical() {
        // A mapped address has a low half other than zero, an IPv6 network never has.
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => ip.to_bits() >> 64 << 64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[tokio::test]
    async fn an_absent_header_means_this_host() {
        for (header, seen) in [
            (None, "127.0.0.1"),
            (Some("203.0.113.7"), "203.0.113.7"),
            (Some("::ffff:203.0.113.7"), "203.0.113.7"),
            (Some("203.0.113.7, 127.0.0.1"), "0.0.0.0"),
            (Some(""), "0.0.0.0"),
        ] {
            let mut request = axum::http::Request::new(());
            if let Some(header) = header {
                let value = HeaderValue::from_static(header);
                request.headers_mut().insert("x-forwarded-for", value);
            }
            let (mut parts, ()) = request.into_parts();
            let Ok(address) = ClientAddress::from_request_parts(&mut parts, &()).await;
            assert_eq!(address.0.to_string(), seen, "{header:?}");
        }
    }

    #[test]
    fn an_ipv6_customer_is_one_network() {
        let network = |ip: &str| network(ip.parse().unwrap());
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:0:0:1"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
        assert_eq!(network("192.0.2.1"), network("::ffff:192.0.2.1"));
    }
}
