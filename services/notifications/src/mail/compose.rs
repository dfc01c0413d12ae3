//! A mail as it is sent (RFC 5322): text and page side by side, marked as written
//! by a program (RFC 3834), with a `Message-ID` that is the same at every try.

use data_encoding::HEXLOWER;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::{Address, Message};
use mesh::Contact;

use super::MailId;
use crate::text::MailText;

/// Writes a mail; or why it cannot be written, without saying to whom.
pub(super) fn compose(
    from: &Mailbox,
    to: &Contact,
    id: &MailId,
    words: MailText,
) -> Result<Message, String> {
    let address: Address = to
        .email
        .parse()
        .map_err(|_| "the address is none that mail can be sent to")?;
    let name = Some(to.name.clone()).filter(|name| !name.trim().is_empty());
    let message_id = format!("<{}@{}>", HEXLOWER.encode(id), from.email.domain());
    let auto = HeaderName::new_from_ascii_str("Auto-Submitted");
    let MailText { subject, text, html } = words;
    Message::builder()
        .from(from.clone())
        .to(Mailbox::new(name, address))
        .subject(subject)
        .message_id(Some(message_id))
        .raw_header(HeaderValue::new(auto, "auto-generated".into()))
        .multipart(MultiPart::alternative_plain_html(text, html))
        .map_err(|error| error.to_string())
}
