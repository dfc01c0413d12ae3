//! The client address of a request.
//!
//! It is the peer of the connection, or, if that is a trusted proxy, the address that the
//! proxy forwards. Limits count it, the access log shows it, and services receive it.
//!
//! A peer on this host that sends a forwarding header is a proxy as well, whatever the
//! settings say: otherwise everybody whom it forwards for would have the privileges of this
//! host.
//!
//! **Invariants:** only a proxy that is trusted or on this host can name another address. The
//! list is read from the right, over trusted proxies, to the first untrusted address, so
//! entries that a client put before it never count. A list that does not read, or that names
//! this host, gives `0.0.0.0`, which has none of its privileges.

mod forwarded;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Once;

use http::{HeaderMap, HeaderValue};
use ipnet::IpNet;

/// An address that cannot be determined.
const UNKNOWN: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// The other end of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// Its address.
    pub(crate) address: SocketAddr,
    /// Its IP as a value of `X-Forwarded-For`.
    pub(crate) forwarded_for: HeaderValue,
}

impl Peer {
    /// The peer at an address.
    pub(crate) fn new(address: SocketAddr) -> Self {
        let forwarded_for = value(address.ip().to_canonical());
        Self { address, forwarded_for }
    }
}

/// Where a request comes from.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    /// The address, in IPv4 form if it is an IPv4-mapped one.
    pub(crate) ip: IpAddr,
    /// Whether the request was sent from this host, and not by a proxy.
    pub(crate) is_local: bool,
    /// Whether a proxy that is trusted, or on this host, sent it.
    pub(crate) is_proxied: bool,
    /// The address as a value of `X-Forwarded-For`.
    pub(crate) forwarded_for: HeaderValue,
}

/// An address as a header's value.
pub(crate) fn value(ip: IpAddr) -> HeaderValue {
    HeaderValue::try_from(ip.to_string()).expect("an IP address is visible ASCII")
}

/// Logs once that a proxy on this host is not among the settings.
static WARNING: Once = Once::new();

/// The proxies whose forwarding headers are trusted.
#[derive(Debug, Clone)]
pub(crate) struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Trusts proxies in these networks.
    pub(crate) fn new(trusted: &[IpNet]) -> Self {
        Self(trusted.to_vec())
    }

    /// Whether an address belongs to a trusted proxy.
    pub(crate) fn trust(&self, ip: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&ip))
    }

    /// The client of a request with these headers on a connection of `peer`.
    pub(crate) fn client(&self, peer: &Peer, headers: &HeaderMap) -> Client {
        let ip = peer.address.ip().to_canonical();
        let forwarded = match ip.is_loopback() || self.trust(ip) {
            true => self.forwarded(headers),
            false => None,
        };
        match forwarded {
            Some(named) => {
                if !self.trust(ip) {
                    WARNING.call_once(|| {
                        tracing::warn!(
                            proxy = %ip,
                            "a proxy on this host forwards requests and is trusted for it; name it in gateway.trusted_proxies"
                        );
                    });
                }
                let ip = if named.is_loopback() { UNKNOWN } else { named };
                Client {
                    ip,
                    is_local: false,
                    is_proxied: true,
                    forwarded_for: value(ip),
                }
            }
            None => Client {
                ip,
                is_local: ip.is_loopback(),
                is_proxied: false,
                forwarded_for: peer.forwarded_for.clone(),
            },
        }
    }

    /// The client that a proxy forwards for; `None` without a forwarding header.
    ///
    /// Of the two headers a proxy sets one, and may pass the other on as the client wrote
    /// it. Where they disagree, the trusted one cannot be determined.
    fn forwarded(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let standard = forwarded::standard(headers).map(|path| self.walk(&path));
        let customary = forwarded::customary(headers).map(|path| self.walk(&path));
        match (standard, customary) {
            (Some(one), Some(other)) if one != other => Some(UNKNOWN),
            (one, other) => one.or(other),
        }
    }

    /// The first address from the right that is not a trusted proxy, else the leftmost.
    fn walk(&self, path: &[Option<IpAddr>]) -> IpAddr {
        let mut last = UNKNOWN;
        for node in path.iter().rev() {
            match node {
                Some(ip) if self.trust(*ip) || ip.is_loopback() => last = *ip,
                Some(ip) => return *ip,
                None => return UNKNOWN,
            }
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(peer: &str, forwarded: &[(&'static str, &str)]) -> (String, bool) {
        let proxies = TrustedProxies::new(&[
            "10.0.0.0/8".parse().unwrap(),
            "127.0.0.2/32".parse().unwrap(),
            "fd00::/8".parse().unwrap(),
        ]);
        let mut headers = HeaderMap::new();
        for (name, value) in forwarded {
            headers.append(*name, value.parse().unwrap());
        }
        let peer = Peer::new((peer.parse::<IpAddr>().unwrap(), 4321).into());
        let client = proxies.client(&peer, &headers);
        assert_eq!(client.forwarded_for, client.ip.to_string());
        (client.ip.to_string(), client.is_local)
    }

    #[test]
    fn only_a_trusted_proxy_names_the_client() {
        const XFF: &str = "x-forwarded-for";
        let ip = |peer, forwarded: &[_]| seen(peer, forwarded).0;
        assert_eq!(ip("203.0.113.7", &[(XFF, "198.51.100.1")]), "203.0.113.7");
        assert_eq!(ip("10.0.0.1", &[(XFF, "198.51.100.1")]), "198.51.100.1");
        assert_eq!(
            ip("::ffff:10.0.0.1", &[(XFF, "198.51.100.1")]),
            "198.51.100.1"
        );
        assert_eq!(
            ip("10.0.0.1", &[("forwarded", "for=\"[2001:db8::1]:443\"")]),
            "2001:db8::1"
        );
        // Entries of the client, then of the proxy.
        let spoofed = "127.0.0.1, 9.9.9.9, 198.51.100.1";
        assert_eq!(
            ip("10.0.0.1", &[(XFF, spoofed), (XFF, "10.9.9.9")]),
            "198.51.100.1"
        );
        assert_eq!(ip("10.0.0.1", &[(XFF, "10.0.0.3, 10.0.0.2")]), "10.0.0.3");
    }

    #[test]
    fn unreadable_or_contradictory_headers_give_an_unknown_address() {
        const XFF: &str = "x-forwarded-for";
        for forwarded in [
            &[(XFF, "198.51.100.1, unknown")][..],
            &[(XFF, "")],
            &[("forwarded", "for=_hidden")],
            &[("forwarded", "for=198.51.100.1;host=\"")],
            &[("forwarded", "for=1.1.1.1"), (XFF, "198.51.100.1")],
        ] {
            assert_eq!(seen("10.0.0.1", forwarded), ("0.0.0.0".into(), false));
        }
    }

    #[test]
    fn a_loopback_peer_is_local_unless_it_is_a_proxy() {
        const XFF: &str = "x-forwarded-for";
        for (forwarded, client) in [
            (&[][..], None),
            (&[(XFF, "203.0.113.9")], Some("203.0.113.9")),
            (&[(XFF, "127.0.0.1, 203.0.113.9")], Some("203.0.113.9")),
            (&[(XFF, "203.0.113.9, 127.0.0.1")], Some("203.0.113.9")),
            (&[("forwarded", "for=203.0.113.9")], Some("203.0.113.9")),
            (&[(XFF, "")], Some("0.0.0.0")),
            (&[("forwarded", "")], Some("0.0.0.0")),
            (&[(XFF, "127.0.0.1")], Some("0.0.0.0")),
            (&[(XFF, "::1")], Some("0.0.0.0")),
            (&[(XFF, "unknown")], Some("0.0.0.0")),
        ] {
            // The second one is among the settings.
            for peer in ["127.0.0.1", "127.0.0.2"] {
                let expected = (client.unwrap_or(peer).to_owned(), client.is_none());
                assert_eq!(seen(peer, forwarded), expected, "{forwarded:?}");
            }
        }
    }
}
