//! The kinds that webhooks subscribe to, those of events and those of messages to staff that no
//! event says, and patterns of them: `*` is every kind, also those of later versions, and
//! `order.*` every kind that begins so.

use model::{NOTICES, described_kinds};
use serde::Serialize;

/// The kind of the event that `POST /v1/webhooks/{id}/test` sends.
pub(crate) const TEST: &str = "webhook.test";

/// A kind in a response.
#[derive(Debug, Serialize)]
pub(crate) struct EventKind {
    /// Its name on the wire, `order.paid`.
    kind: &'static str,
    /// What has happened then, in a sentence or two.
    description: &'static str,
}

/// Every kind, as the vocabulary describes it.
pub(crate) fn all() -> Vec<EventKind> {
    let described = described_kinds();
    described
        .map(|(kind, description)| EventKind { kind, description })
        .collect()
}

/// Whether it is the kind of a message to staff that webhooks are sent, too.
pub(crate) fn is_notice(kind: &str) -> bool {
    NOTICES.iter().any(|(notice, _)| *notice == kind)
}

/// Whether a kind, or a pattern of kinds, is one that this program knows.
pub(crate) fn is_known(pattern: &str) -> bool {
    described_kinds().any(|(kind, _)| matches(pattern, kind))
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
    use model::Fact;

    use super::*;
    use crate::domain::{Audience, Topic};

    #[test]
    fn patterns_name_kinds_by_their_beginning() {
        for (pattern, is_known, matches_paid) in [
            ("order.paid", true, true),
            ("order.*", true, true),
            ("*", true, true),
            ("stock.*", true, false),
            ("refund.due", true, false),
            ("backup.*", true, false),
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
        assert_eq!(all.len(), Fact::KINDS.len() + NOTICES.len());
        for EventKind { kind, description } in all {
            assert!(
                description.ends_with('.') && !description.contains("  "),
                "{kind}: {description}"
            );
        }
        for (kind, _) in NOTICES {
            let rule = Topic::RULES.iter().find(|rule| rule.kind == *kind);
            let audience = rule.map(|rule| rule.audience);
            assert_eq!(audience, Some(Audience::Staff), "{kind}");
            assert!(!Fact::knows(kind), "{kind}");
        }
    }
}
