//! The request's target in its one form, made once when the request arrives.
//!
//! Routing, the token rule, the cache and the service all look at the same bytes
//! afterwards: those that [`normalise`] left in the request. The rule, by section of
//! RFC 3986:
//!
//! | in the path | becomes |
//! | --- | --- |
//! | an escaped unreserved character, `%70` (§6.2.2.2) | that character |
//! | any other escape, `%2f` (§6.2.2.1) | itself in upper case, `%2F`: data, never a slash |
//! | a `.` or `..` segment, escaped or not (§3.3) | 400: clients resolve them before they send |
//! | an escape that is none, `%zz` (§2.1) | 400 |
//! | a character that must be escaped, such as `\` or `"` (§3.3) | 400 |
//! | an escaped control character, or escapes that are no UTF-8 | 400 |
//! | empty segments, `//` | themselves: they name nothing here, so 404 |
//!
//! The query keeps its escapes, since services read it as a form; `query` drops its empty
//! parameters. Nothing is decoded
//! twice: `%252e` is a percent sign and `2e`.
//!
//! **Invariant:** normalising what was normalised changes nothing.

use std::borrow::Cow;

use chassis::Problem;
use http::header::HOST;
use http::request::Parts;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderValue, Method, Uri, Version};

const NOT_A_PATH: &str = "the request's target must be a path that starts with `/`, or an http URL";

/// Leaves path and query in the request's target, normalised, and in `Host` whom
/// they are asked of.
///
/// The absolute form is taken as RFC 9112 §3.2.2 says: it counts and `Host`, which must
/// be there all the same, is replaced. The asterisk form is for `OPTIONS` only (§3.2.4).
///
/// # Errors
/// 400 naming the fault.
pub(crate) fn normalise(parts: &mut Parts) -> Result<(), Problem> {
    host(parts)?;
    let path = parts.uri.path();
    if path == "*" && parts.method == Method::OPTIONS {
        return Ok(());
    }
    let clean = clean(path).map_err(Problem::bad_request)?;
    let is_clean = matches!(clean, Cow::Borrowed(_));
    if is_clean && parts.uri.scheme().is_none() {
        return Ok(());
    }
    let target = match parts.uri.query() {
        Some(query) => format!("{clean}?{query}"),
        None => clean.into_owned(),
    };
    let target = PathAndQuery::try_from(target);
    parts.uri = Uri::from(target.map_err(|error| Problem::bad_request(error.to_string()))?);
    Ok(())
}

/// Makes `Host` the one authority of the request (RFC 9112 §3.2).
fn host(parts: &mut Parts) -> Result<(), Problem> {
    let is_old = parts.version <= Version::HTTP_11;
    if is_old {
        one_host(&parts.headers, parts.version)?;
    }
    let authority = match (parts.uri.scheme_str(), parts.uri.authority()) {
        (None, None) => return Ok(()),
        (Some("http" | "https"), Some(authority)) if is_authority(authority.as_str()) => authority,
        _ => return Err(Problem::bad_request(NOT_A_PATH)),
    };
    let mut given = parts.headers.get_all(HOST).iter();
    // Malformed in HTTP/2 (RFC 9113 §8.3.1); HTTP/1.1 has a rule of precedence.
    if !is_old && given.any(|host| host != authority.as_str()) {
        return Err(Problem::bad_request("Host and :authority differ"));
    }
    let host = HeaderValue::try_from(authority.as_str());
    let host = host.map_err(|error| Problem::bad_request(error.to_string()))?;
    parts.headers.insert(HOST, host);
    Ok(())
}

fn one_host(headers: &HeaderMap, version: Version) -> Result<(), Problem> {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if host.to_str().is_ok_and(is_authority) => Ok(()),
        (None, None) if version < Version::HTTP_11 => Ok(()),
        _ => Err(Problem::bad_request(
            "exactly one Host header with a host name is needed",
        )),
    }
}

/// Whether this is a host with or without a port, and nothing before it: user
/// information is refused (RFC 9110 §4.2.4).
pub(crate) fn is_authority(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%:[]".contains(&byte);
    // Behind the last colon, unless that is inside an IPv6 address.
    let port = text
        .rsplit(':')
        .next()
        .filter(|port| *port != text && !port.contains(']'));
    !text.starts_with(':')
        && text.bytes().all(allowed)
        && port.is_none_or(|port| port.bytes().all(|digit| digit.is_ascii_digit()))
        && text
            .parse::<Authority>()
            .is_ok_and(|it| !it.host().is_empty())
}

/// A host without the brackets of an IPv6 address (RFC 3986 §3.2.2).
pub(crate) fn bare_host(host: &str) -> &str {
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    bare.unwrap_or(host)
}

/// The one form of a path; borrowed when it has that form already.
pub(crate) fn clean(path: &str) -> Result<Cow<'_, str>, &'static str> {
    if !path.starts_with('/') {
        return Err(NOT_A_PATH);
    }
    let clean = if path.contains('%') {
        Cow::Owned(unescape(path)?)
    } else {
        Cow::Borrowed(path)
    };
    if !clean.bytes().all(may_be_bare) {
        return Err("the path has a character that must be percent-encoded");
    }
    if clean
        .split('/')
        .any(|segment| matches!(segment, "." | ".."))
    {
        return Err("the path must not contain the segments `.` or `..`");
    }
    if clean == path {
        Ok(Cow::Borrowed(path))
    } else {
        Ok(clean)
    }
}

/// What need not be escaped in a path (RFC 3986 §3.3), and `%`.
fn may_be_bare(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%".contains(&byte)
}

/// Takes the escapes away that need not be, and writes the others in one way.
fn unescape(path: &str) -> Result<String, &'static str> {
    let mut clean = String::with_capacity(path.len());
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        let byte = after
            .get(..2)
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .ok_or("the path has a `%` that no two hexadecimal digits follow")?;
        if byte.is_ascii_control() {
            return Err("the path has an escaped control character");
        }
        decoded.extend_from_slice(before.as_bytes());
        decoded.push(byte);
        clean.push_str(before);
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            clean.push(char::from(byte));
        } else {
            clean.push('%');
            clean.push_str(&after[..2].to_ascii_uppercase());
        }
        rest = &after[2..];
    }
    clean.push_str(rest);
    decoded.extend_from_slice(rest.as_bytes());
    match std::str::from_utf8(&decoded) {
        Ok(_) => Ok(clean),
        Err(_) => Err("the path's escapes are not UTF-8"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    #[test]
    fn one_form_or_none() {
        for (sent, kept) in [
            ("/v1/%70roducts", Some("/v1/products")),
            (
                "/v1/products/by-sku/A%2fB..",
                Some("/v1/products/by-sku/A%2FB.."),
            ),
            ("/v1%2fusers", Some("/v1%2Fusers")),
            (
                "/v1/products/%252e%252E/users",
                Some("/v1/products/%252e%252E/users"),
            ),
            ("/caf%c3%a9", Some("/caf%C3%A9")),
            ("//v1//orders/", Some("//v1//orders/")),
            ("/a%5Cb", Some("/a%5Cb")),
            ("/v1/products/../users", None),
            ("/v1/products/%2E%2e", None),
            ("/v1/products/.%2E/users", None),
            ("/v1/products/.", None),
            ("/a\\b", None),
            ("/a\"b", None),
            ("/caf\u{e9}", None),
            ("/%00", None),
            ("/%7f", None),
            ("/%0d%0aX", None),
            ("/%zz", None),
            ("/%+1", None),
            ("/%4", None),
            ("/%", None),
            ("/%c0%af", None),
            ("/%ff", None),
            ("*", None),
            ("", None),
        ] {
            assert_eq!(clean(sent).ok().as_deref(), kept, "{sent}");
        }
    }

    fn asked(uri: &str, hosts: &[&str], version: Version) -> Option<(String, Option<String>)> {
        let request = hosts.iter().fold(Request::options(uri), |request, host| {
            request.header(HOST, *host)
        });
        let (mut parts, ()) = request.version(version).body(()).ok()?.into_parts();
        normalise(&mut parts).ok()?;
        let host = parts
            .headers
            .get(HOST)
            .map(|host| host.to_str().unwrap().to_owned());
        Some((parts.uri.to_string(), host))
    }

    #[test]
    fn there_is_one_host() {
        let (one, two) = (Version::HTTP_11, Version::HTTP_2);
        let to = |uri: &str, host: &str| Some((uri.to_owned(), Some(host.to_owned())));
        assert_eq!(
            asked("/a?b=%zz", &["shop.test:80"], one),
            to("/a?b=%zz", "shop.test:80")
        );
        assert_eq!(asked("/a", &["[::1]:80"], one), to("/a", "[::1]:80"));
        assert_eq!(asked("*", &["shop.test"], one), to("*", "shop.test"));
        assert_eq!(
            asked("/a", &[], Version::HTTP_10),
            Some(("/a".into(), None))
        );
        let url = "http://other.test/%61?b";
        assert_eq!(asked(url, &["shop.test"], one), to("/a?b", "other.test"));
        assert_eq!(asked(url, &["shop.test", "x"], one), None);
        assert_eq!(asked(url, &[], one), None);
        assert_eq!(asked(url, &[], two), to("/a?b", "other.test"));
        assert_eq!(asked(url, &["shop.test"], two), None);
        for (uri, hosts) in [
            ("/a", &[] as &[&str]),
            ("/a", &["shop.test", "shop.test"]),
            ("/a", &["a b"]),
            ("/a", &[""]),
            ("/a", &[":80"]),
            ("/a", &["me@shop.test"]),
            ("/a", &["shop.test/x"]),
            ("/a", &["shop.test:8x"]),
            ("http://me@other.test/", &["shop.test"]),
            ("ftp://other.test/", &["shop.test"]),
            ("other.test:443", &["other.test:443"]),
        ] {
            assert_eq!(asked(uri, hosts, one), None, "{uri} {hosts:?}");
        }
    }
}
