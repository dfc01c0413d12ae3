//! Built-in templates, compiled into the binary so that every kind has a text in every
//! language. **Invariant:** both languages have the same files.

macro_rules! files {
    ($($language:literal)*) => {
        /// `<language>/<file>` and its content.
        pub(super) const FILES: &[(&str, &str)] = &[$(
            files!(@ $language, "event.parked.txt"),
            files!(@ $language, "mail.failed.txt"),
            files!(@ $language, "mail.html"),
            files!(@ $language, "mail.txt"),
            files!(@ $language, "order.cancelled.txt"),
            files!(@ $language, "order.confirmed.txt"),
            files!(@ $language, "order.delivered.txt"),
            files!(@ $language, "order.paid.txt"),
            files!(@ $language, "order.refunded.txt"),
            files!(@ $language, "order.rejected.txt"),
            files!(@ $language, "order.shipped.txt"),
            files!(@ $language, "payment.unmatched.txt"),
            files!(@ $language, "session.reused.txt"),
            files!(@ $language, "stock.low.txt"),
            files!(@ $language, "user.code_requested.txt"),
            files!(@ $language, "user.email_changed.txt"),
            files!(@ $language, "user.password_changed.txt"),
            files!(@ $language, "user.registered.txt"),
            files!(@ $language, "webhook.disabled.txt"),
        )*];
    };
    (@ $language:literal, $file:literal) => {
        (concat!($language, "/", $file), include_str!(concat!("../../templates/", $language, "/", $file)))
    };
}

files! { "en" "de" }
