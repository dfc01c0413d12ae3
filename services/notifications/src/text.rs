//! What a notification says: one title and one body a kind, in plain words.
//!
//! Texts are chosen when a notification is shown, so that a better wording, or
//! another language, reaches the ones already told.

use crate::domain::Topic;

/// The words of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Text {
    /// One line.
    pub(crate) title: &'static str,
    /// A sentence or two: what it means, and what to do now.
    pub(crate) body: &'static str,
}

/// The words for `topic`.
pub(crate) fn of(topic: &Topic) -> Text {
    let (title, body) = match topic {
        Topic::UserRegistered {} => (
            "Welcome",
            "Your account is ready. Whatever happens to your orders is told here.",
        ),
        Topic::OrderConfirmed { .. } => (
            "Your order is confirmed",
            "Everything you ordered is set aside for you.",
        ),
        Topic::OrderRejected { .. } => (
            "Your order could not be confirmed",
            "Not everything in it was in stock, so nothing is held for you and there is nothing to pay. You can order again at any time.",
        ),
    };
    Text { title, body }
}
