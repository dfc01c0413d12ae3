//! Removes from a text what is about people, or lets somebody in.
//!
//! The sources of a bundle have no such data by themselves; this is a second line of defence,
//! for the journal above all, and for what a later version might say.

use std::net::{IpAddr, SocketAddr};

/// What begins a part of a text that is removed up to its end, and what stands there instead.
const PREFIXES: [(&str, &str); 9] = [
    ("user_", "(user)"),
    ("session_", "(session)"),
    ("v4.public.", "(token)"),
    ("v4.local.", "(token)"),
    ("k4.secret.", "(key)"),
    ("whsec_", "(secret)"),
    ("refresh_", "(token)"),
    ("challenge_", "(token)"),
    ("#setup=", "(token)"),
];

/// The text without e-mail addresses, IP addresses of others, tokens, keys, and ids of people.
pub(super) fn scrub(text: &str) -> String {
    let mut scrubbed = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(is_border).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        scrubbed.push_str(&replaced(part));
        let border = after.chars().next().map_or(0, char::len_utf8);
        scrubbed.push_str(&after[..border]);
        rest = &after[border..];
    }
    scrubbed
}

/// What ends a part: no sign of an address, an id or a token.
fn is_border(sign: char) -> bool {
    sign.is_whitespace() || sign.is_control() || "\"'<>(){}[],;|`".contains(sign)
}

fn replaced(part: &str) -> String {
    let (name, value) = part
        .rsplit_once('=')
        .map_or(("", part), |(name, value)| (name, value));
    if is_foreign(value) {
        return format!("{name}{}(ip)", if name.is_empty() { "" } else { "=" });
    }
    if part.contains('@') && is_address(part) {
        return "(address)".into();
    }
    for (prefix, instead) in PREFIXES {
        if let Some(start) = part.find(prefix) {
            let secret = &part[start + prefix.len()..];
            // A name such as `user_id` is none of these.
            if secret.len() >= 20 {
                return format!("{}{instead}", &part[..start]);
            }
        }
    }
    part.to_owned()
}

/// Whether a text is the address of another host, with or without a port.
fn is_foreign(text: &str) -> bool {
    let ip = text.parse::<SocketAddr>().map(|address| address.ip());
    let ip = ip.or_else(|_| text.parse::<IpAddr>());
    ip.is_ok_and(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

/// Whether a part is an e-mail address, and no unit such as `konbini@users.service`.
fn is_address(part: &str) -> bool {
    let (name, host) = part.split_once('@').unwrap_or_default();
    !name.is_empty() && host.contains('.') && !name.ends_with("konbini")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_and_secrets_are_removed() {
        let id = "01kb0000000000000000000000";
        for (text, scrubbed) in [
            (
                "mail to mori@konbini.example failed",
                "mail to (address) failed",
            ),
            ("<mori+shop@b\u{fc}cher.example>", "<(address)>"),
            ("to=mori@konbini.example,", "(address),"),
            (
                "systemd[1]: konbini@users.service: done",
                "systemd[1]: konbini@users.service: done",
            ),
            (
                &format!("{{\"user_id\":\"user_{id}\"}}"),
                "{\"user_id\":\"(user)\"}",
            ),
            (&format!("user_{id}/orders"), "(user)"),
            (&format!("order_{id}"), &format!("order_{id}")),
            (
                &format!("http://shop/_/#setup={id}"),
                "http://shop/_/(token)",
            ),
            (&format!("Bearer v4.public.{id}"), "Bearer (token)"),
            (&format!("whsec_{id}"), "(secret)"),
            ("\"client\":\"203.0.113.9\"", "\"client\":\"(ip)\""),
            (
                "client=2001:db8::7 from 127.0.0.1:8080",
                "client=(ip) from 127.0.0.1:8080",
            ),
            ("", ""),
            ("\u{e9}@\u{e9}", "\u{e9}@\u{e9}"),
        ] {
            assert_eq!(scrub(text), scrubbed, "{text}");
        }
    }
}
