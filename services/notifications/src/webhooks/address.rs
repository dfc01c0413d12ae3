//! Address filter against server-side request forgery: only addresses on the internet pass,
//! none that only this host or its network can reach.
//!
//! **Invariant:** of IPv6 only global unicast passes (IANA, "IPv6 Special-Purpose Address
//! Space"), and an address that embeds an IPv4 address passes only if that one does.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Refuses an address that is not on the internet; the error names it.
pub(super) fn refuse_private(address: IpAddr) -> Result<(), String> {
    let is_public = match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    };
    if is_public {
        return Ok(());
    }
    Err(format!(
        "{address} is not an address on the internet; webhooks.allow_private allows it"
    ))
}

/// IANA, "IPv4 Special-Purpose Address Registry".
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = match a {
        // This network; loopback; multicast and reserved.
        0 | 127 | 224.. => true,
        10 => true,
        // Shared address space of carriers (RFC 6598).
        100 => (64..128).contains(&b),
        // Link-local, the cloud's metadata among it.
        169 => b == 254,
        172 => (16..32).contains(&b),
        // Private; protocol assignments; documentation; 6to4 relays.
        192 => b == 168 || b == 0 && (c == 0 || c == 2) || b == 88 && c == 99,
        // Benchmarks; documentation.
        198 => b == 18 || b == 19 || b == 51 && c == 100,
        203 => b == 0 && c == 113,
        _ => false,
    };
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let embedded = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        Ipv4Addr::new(a, b, c, d)
    };
    match segments {
        // IPv4-mapped, and NAT64's well-known prefix (RFC 6052).
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            is_public_v4(embedded(high, low))
        }
        // 6to4 (RFC 3056).
        [0x2002, high, low, ..] => is_public_v4(embedded(high, low)),
        // Protocol assignments, Teredo among them; documentation, twice.
        [0x2001, second, ..] if second < 0x200 => false,
        [0x2001, 0xdb8, ..] | [0x3fff, 0..0x1000, ..] => false,
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_internet_passes() {
        for public in [
            "1.1.1.1",
            "93.184.215.14",
            "100.63.0.1",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.167.0.1",
            "223.255.255.254",
            "2606:4700:4700::1111",
            "2a01:4f8::1",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
        ] {
            assert_eq!(refuse_private(public.parse().unwrap()), Ok(()), "{public}");
        }
        for private in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "2002:a00:1::1",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(
                refuse_private(private.parse().unwrap()).is_err(),
                "{private}"
            );
        }
    }
}
