//! Mails with sample data, for authors of templates and for tests.
//!
//! **Invariant:** a preview goes the way of a mail: the same templates, settings and layouts.

use std::path::PathBuf;

use crate::config::Config;
use crate::text::samples::{self, MailSample};
use crate::text::{MailText, Texts};

/// The code and the token in previews, which work nowhere.
const CODE: &str = "73920185";
const TOKEN: &str = "undo_AAAAAAAAAAAAAAAAAAAAAA";

/// The notifications that a digest counts.
const COUNT: u64 = 12;

/// Every kind of mail, by the name of its template without `.txt`.
pub fn mail_kinds() -> Vec<&'static str> {
    samples::kinds()
}

/// The mails of a kind with sample data, the most usual first: one for each thing that the
/// kind can be about. None for a name that is no kind. `templates` is the owner's folder; one of
/// theirs that cannot be used is logged, and the built-in one is used, as for a mail.
pub fn preview_mails(
    templates: PathBuf,
    config: Config,
    kind: &str,
    language: Option<&str>,
) -> Vec<MailText> {
    let texts = Texts::open(templates, &config.notifications, config.public_url);
    let to = samples::contact(language);
    let mail = |sample| match sample {
        MailSample::Notice(topic) => texts.mail(&topic, samples::order(&topic).as_ref(), &to),
        MailSample::Code(purpose) => texts.code_mail(purpose, CODE, &to),
        MailSample::EmailUndo => texts.undo_mail(TOKEN, &to),
        MailSample::Digest(kind) => texts.digest_mail(&kind, COUNT, samples::SINCE, &to),
    };
    samples::of_kind(kind).into_iter().map(mail).collect()
}
