//! Composition of a mail (RFC 5322): plain text and HTML alternatives, marked as generated
//! by a program (RFC 3834). **Invariant:** the `Message-ID` depends on the mail's id alone, so
//! it is the same at every attempt.

use data_encoding::HEXLOWER;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::{Address, Message};
use mesh::Contact;

use super::MailId;
use crate::text::MailText;

/// Composes a mail. An error says why it cannot be composed, without the address.
pub(super) fn compose(
    from: &Mailbox,
    to: &Contact,
    id: &MailId,
    text: MailText,
) -> Result<Message, String> {
    let address: Address = to
        .email
        .parse()
        .map_err(|_| "mail cannot be sent to this address")?;
    let name = Some(to.name.clone()).filter(|name| !name.trim().is_empty());
    let message_id = format!("<{}@{}>", HEXLOWER.encode(id), from.email.domain());
    let auto = HeaderName::new_from_ascii_str("Auto-Submitted");
    let MailText { subject, text, html } = text;
    Message::builder()
        .from(from.clone())
        .to(Mailbox::new(name, address))
        .subject(subject)
        .message_id(Some(message_id))
        .raw_header(HeaderValue::new(auto, "auto-generated".into()))
        .multipart(MultiPart::alternative_plain_html(text, html))
        .map_err(|error| error.to_string())
}
