//! The forwarding headers of proxies: `Forwarded` (RFC 7239) and the older
//! `X-Forwarded-For`.
//!
//! **Invariant:** a quote that a client left open swallows no entry of a proxy: such a
//! header is read as unreadable.

use std::net::{IpAddr, SocketAddr};

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName};

use crate::target::bare_host;

const CUSTOMARY: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The hops of a request, the client's side first; `None` for a hop without an address.
type Path = Vec<Option<IpAddr>>;

/// The hops of `X-Forwarded-For`, if there is one.
pub(super) fn customary(headers: &HeaderMap) -> Option<Path> {
    read(headers, &CUSTOMARY, |line| {
        Some(line.split(',').map(node).collect())
    })
}

/// The hops of `Forwarded`, if there is one.
pub(super) fn standard(headers: &HeaderMap) -> Option<Path> {
    read(headers, &FORWARDED, |line| {
        let elements = split(line, ',')?;
        elements.into_iter().map(element).collect()
    })
}

/// Reads all lines of a header; an unreadable line is a hop without an address.
fn read(
    headers: &HeaderMap,
    name: &HeaderName,
    line: impl Fn(&str) -> Option<Path>,
) -> Option<Path> {
    let mut lines = headers.get_all(name).iter().peekable();
    lines.peek()?;
    let paths = lines.map(|value| {
        let path = value.to_str().ok().and_then(&line);
        path.unwrap_or_else(|| vec![None])
    });
    Some(paths.flatten().collect())
}

/// The address in an element's `for` (RFC 7239 §4); `None` if the element is malformed.
fn element(text: &str) -> Option<Option<IpAddr>> {
    let mut said = None;
    for pair in split(text, ';')? {
        let (name, value) = pair.split_once('=')?;
        if name.trim().eq_ignore_ascii_case("for") {
            said = node(value.trim().trim_matches('"'));
        }
    }
    Some(said)
}

/// Splits outside of quoted strings (RFC 9110 §5.6.4); `None` if one is left open.
fn split(text: &str, at: char) -> Option<Vec<&str>> {
    let (mut parts, mut start) = (Vec::new(), 0);
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (index, one) in text.char_indices() {
        match one {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ if one == at && !is_quoted => {
                parts.push(&text[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    (!is_quoted).then_some(parts)
}

/// The address of a node, which may have a port (RFC 7239 §6).
fn node(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let ip = bare_host(text).parse::<IpAddr>().ok();
    let with_port = || {
        let address = text.parse::<SocketAddr>().ok();
        address.map(|address| address.ip())
    };
    ip.or_else(with_port).map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_an_address_with_or_without_a_port() {
        let read = |text| node(text).map(|ip| ip.to_string());
        for (text, ip) in [
            (" 192.0.2.1 ", Some("192.0.2.1")),
            ("192.0.2.1:80", Some("192.0.2.1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("[2001:db8::1]:80", Some("2001:db8::1")),
            ("::ffff:192.0.2.1", Some("192.0.2.1")),
            ("_x", None),
            ("unknown", None),
            ("", None),
        ] {
            assert_eq!(read(text).as_deref(), ip, "{text}");
        }
    }

    #[test]
    fn a_comma_in_quotes_does_not_separate() {
        let mut headers = HeaderMap::new();
        let mut path = |text: &str| {
            headers.insert(FORWARDED, text.parse().unwrap());
            let path = standard(&headers).unwrap();
            let show = |ip: Option<IpAddr>| ip.map_or("?".into(), |ip| ip.to_string());
            path.into_iter().map(show).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            path("For=192.0.2.1;proto=http, for=\"[::1]:1\""),
            "192.0.2.1 ::1"
        );
        assert_eq!(
            path("for=192.0.2.1;host=\"x,for=192.0.2.9;y=\""),
            "192.0.2.1"
        );
        assert_eq!(path("for=192.0.2.9;x=\", for=192.0.2.1;host=h"), "?");
        assert_eq!(path("proto=https"), "?");
    }
}
