//! The client address of a request.
//!
//! It is the peer of the connection, or, if that is a trusted proxy, the address that the
//! proxy forwards. Limits count it, the access log shows it, and services receive it.
//!
//! **Invariants:** only a trusted proxy can name another address. The list is read from
//! the right, over trusted proxies, to the first untrusted address, so entries that a client
//! put before it never count. An unreadable list gives `0.0.0.0`, never this host.

mod forwarded;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

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
    /// The address, IPv4 wherever it is one.
    pub(crate) ip: IpAddr,
    /// Whether it was sent from this very host, by nobody's proxy.
    pub(crate) is_local: bool,
    /// Whether a trusted proxy sent it.
    pub(crate) is_proxied: bool,
    /// The address, as `X-Forwarded-For` says it.
    pub(crate) forwarded_for: HeaderValue,
}

/// An address as a header's value.
pub(crate) fn value(ip: IpAddr) -> HeaderValue {
    HeaderValue::try_from(ip.to_string()).expect("an IP address is visible ASCII")
}

/// The proxies whose word is believed.
#[derive(Debug, Clone)]
pub(crate) struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Those of these networks.
    pub(crate) fn new(trusted: &[IpNet]) -> Self {
        Self(trusted.to_vec())
    }

    /// Whether an address is one of theirs.
    pub(crate) fn trust(&self, ip: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&ip))
    }

    /// Who sent these headers over a connection of `peer`'s.
    pub(crate) fn client(&self, peer: &Peer, headers: &HeaderMap) -> Client {
        let ip = peer.address.ip().to_canonical();
        let told = if self.0.is_empty() || !self.trust(ip) {
            None
        } else {
            self.told(headers)
        };
        match told {
            Some(ip) => Client {
                ip,
                is_local: false,
                is_proxied: true,
                forwarded_for: value(ip),
            },
            None => Client {
                ip,
                is_local: ip.is_loopback(),
                is_proxied: false,
                forwarded_for: peer.forwarded_for.clone(),
            },
        }
    }

    /// Who a proxy speaks for; `None`: it does not say that it does.
    ///
    /// Of the two headers a proxy sets one, and may pass on the other as a client
    /// wrote it. Where they disagree nobody knows which is which.
    fn told(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let standard = forwarded::standard(headers).map(|path| self.walk(&path));
        let customary = forwarded::customary(headers).map(|path| self.walk(&path));
        match (standard, customary) {
            (Some(one), Some(other)) if one != other => Some(UNKNOWN),
            (one, other) => one.or(other),
        }
    }

    /// The first from the right that is no trusted proxy, else the leftmost.
    fn walk(&self, path: &[Option<IpAddr>]) -> IpAddr {
        let mut last = UNKNOWN;
        for node in path.iter().rev() {
            match node {
                Some(ip) if self.trust(*ip) => last = *ip,
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

    fn seen(peer: &str, told: &[(&'static str, &str)]) -> (String, bool) {
        let proxies = TrustedProxies::new(&[
            "10.0.0.0/8".parse().unwrap(),
            "127.0.0.2/32".parse().unwrap(),
            "fd00::/8".parse().unwrap(),
        ]);
        let mut headers = HeaderMap::new();
        for (name, value) in told {
            headers.append(*name, value.parse().unwrap());
        }
        let peer = Peer::new((peer.parse::<IpAddr>().unwrap(), 4321).into());
        let client = proxies.client(&peer, &headers);
        assert_eq!(client.forwarded_for, client.ip.to_string());
        (client.ip.to_string(), client.is_local)
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        const XFF: &str = "x-forwarded-for";
        let ip = |peer, told: &[_]| seen(peer, told).0;
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
        // Said by the client, then by the proxy.
        let spoofed = "127.0.0.1, 9.9.9.9, 198.51.100.1";
        assert_eq!(
            ip("10.0.0.1", &[(XFF, spoofed), (XFF, "10.9.9.9")]),
            "198.51.100.1"
        );
        assert_eq!(ip("10.0.0.1", &[(XFF, "10.0.0.3, 10.0.0.2")]), "10.0.0.3");
    }

    #[test]
    fn what_cannot_be_read_or_contradicts_itself_is_nobody() {
        const XFF: &str = "x-forwarded-for";
        for told in [
            &[(XFF, "198.51.100.1, unknown")][..],
            &[(XFF, "")],
            &[("forwarded", "for=_hidden")],
            &[("forwarded", "for=198.51.100.1;host=\"")],
            &[("forwarded", "for=1.1.1.1"), (XFF, "198.51.100.1")],
        ] {
            assert_eq!(seen("10.0.0.1", told), ("0.0.0.0".into(), false));
        }
    }

    #[test]
    fn this_host_is_local_unless_a_proxy_speaks() {
        let told = [("x-forwarded-for", "127.0.0.1")];
        assert_eq!(seen("127.0.0.1", &told), ("127.0.0.1".into(), true));
        assert_eq!(seen("127.0.0.2", &[]), ("127.0.0.2".into(), true));
        assert_eq!(seen("127.0.0.2", &told), ("127.0.0.1".into(), false));
    }
}
