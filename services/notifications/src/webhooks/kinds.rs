//! The kinds of events that webhooks subscribe to, and patterns of them: `*` is every kind, also
//! those of later versions, and `order.*` every kind that begins so.

use model::Fact;
use serde::Serialize;

/// The kind of the event that `POST /v1/webhooks/{id}/test` sends.
pub(crate) const TEST: &str = "webhook.test";

/// A kind of event in a response.
#[derive(Debug, Serialize)]
pub(crate) struct EventKind {
    /// Its name on the wire, `order.paid`.
    kind: &'static str,
    /// What has happened then, in a sentence or two.
    description: String,
}

/// Every kind, as the facts describe themselves.
pub(crate) fn all() -> Vec<EventKind> {
    let described = Fact::DESCRIPTIONS.iter();
    described
        .map(|&(kind, text)| EventKind { kind, description: text.trim().to_owned() })
        .collect()
}

/// Whether a kind, or a pattern of kinds, is one that this program knows.
pub(crate) fn is_known(pattern: &str) -> bool {
    Fact::KINDS.iter().any(|kind| matches(pattern, kind))
}

/// Whether a kind is the one of a pattern, or among those that it names.
pub(crate) fn matches(pattern: &str, kind: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some("") => true,
        Some(prefix) => prefix.ends_with('.') && kind.starts_with(prefix),
        None => pattern == kind,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_name_kinds_by_their_beginning() {
        for (pattern, is_known, matches_paid) in [
            ("order.paid", true, true),
            ("order.*", true, true),
            ("*", true, true),
            ("stock.*", true, false),
            ("order.placed", true, false),
            ("order", false, false),
            ("order*", false, false),
            ("orders.*", false, false),
            ("*.paid", false, false),
            (".*", false, false),
            ("", false, false),
        ] {
            assert_eq!(super::is_known(pattern), is_known, "{pattern}");
            assert_eq!(matches(pattern, "order.paid"), matches_paid, "{pattern}");
        }
    }

    #[test]
    fn every_kind_is_described() {
        let all = all();
        assert_eq!(all.len(), Fact::KINDS.len());
        for EventKind { kind, description } in all {
            assert!(
                description.ends_with('.') && !description.contains("  "),
                "{kind}: {description}"
            );
        }
    }
}
