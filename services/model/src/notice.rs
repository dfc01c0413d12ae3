//! Notices to staff that are no event of a log: their kinds and descriptions.
//!
//! The service of notifications makes them, of its own or of what several events come to, and
//! webhooks subscribe to them as they do to kinds of events. The names are those of inboxes and
//! preferences. The list is here, beside the facts, because the public document has both.

/// Every kind with its description. None is the kind of an event.
pub const NOTICES: &[(&str, &str)] = &[
    (
        "refund.due",
        "A paid order was cancelled, and its payment has to be sent back, or its provider did not send it.",
    ),
    ("mail.failed", "A mail was given up."),
    (
        "mail.delayed",
        "The mail server has accepted no mail for a quarter of an hour.",
    ),
    (
        "mail.recovered",
        "The mail server accepted a mail after that.",
    ),
    (
        "webhook.failing",
        "No message of a webhook was accepted for a quarter of an hour.",
    ),
    (
        "webhook.disabled",
        "A webhook failed for so long that it was disabled.",
    ),
    ("backup.failed", "The last backup failed."),
    (
        "backup.overdue",
        "The last backup is older than the settings expect.",
    ),
    (
        "backup.recovered",
        "A backup succeeded after one that failed or was overdue.",
    ),
];

/// Every kind of event and of such a message, with what it means.
pub fn described_kinds() -> impl Iterator<Item = (&'static str, &'static str)> {
    let described = crate::Fact::DESCRIPTIONS.iter().chain(NOTICES);
    described.map(|&(kind, text)| (kind, text.trim()))
}
