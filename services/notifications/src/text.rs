//! Texts of notifications: one title and one body per kind, in the reader's language, for
//! inboxes and mail alike.
//!
//! A template is a file: its first line is the title and a mail's subject, the rest is the
//! body. Built-in templates are compiled in; a file of the same name below
//! `DATA/templates/<language>/` overrides one from the moment it is written. Texts are
//! rendered when they are read, so a changed template or language applies to older
//! notifications too.
//!
//! **Invariant:** a faulty template never loses a message. A file that does not compile, does
//! not render or renders to nothing is logged once with its line, and the next template in
//! order is used; the last one is built in.

mod templates;

use crate::config::InboxConfig;
use std::path::Path;
use std::sync::Arc;

use mesh::Contact;
use minijinja::value::Serde;
use minijinja::{Environment, Error as Fault, ErrorKind, UndefinedBehavior, Value};
use serde::Serialize;

use self::templates::{BUILT_IN, CustomTemplates};
use crate::domain::Topic;

/// Instruction limit of one rendering; built-in templates take some hundred.
const FUEL: u64 = 50_000;

/// The template of a one-time code.
pub(crate) const CODE: &str = "user.code_requested.txt";

/// The template of the mail that undoes a change of address.
pub(crate) const EMAIL_UNDO: &str = "user.email_change_requested.txt";

/// The path of the page that undoes a change of address. The token is the fragment, which no
/// server and no log on the way sees.
const UNDO_PAGE: &str = "/account/undo#";

/// The text of a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text {
    /// One line.
    pub(crate) title: String,
    /// A sentence or two: what happened, and what to do.
    pub(crate) body: String,
}

/// The text of a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MailText {
    /// One line.
    pub(crate) subject: String,
    /// The plain text part.
    pub(crate) text: String,
    /// The HTML part.
    pub(crate) html: String,
}

/// The faults of the owner's templates in a folder, each with its file and line.
pub(crate) fn template_faults(folder: &Path) -> Vec<String> {
    let faults = templates::faults(folder).into_iter();
    let described = faults.map(|fault| {
        let (file, why) = (fault.file.display(), fault.why);
        match fault.line {
            Some(line) => format!("{file}: line {line}: {why}"),
            None => format!("{file}: {why}"),
        }
    });
    described.collect()
}

/// All templates. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Texts(Arc<Inner>);

struct Inner {
    shop: String,
    public_url: String,
    language: String,
    built_in: Environment<'static>,
    custom: CustomTemplates,
}

impl Texts {
    /// The built-in templates and the custom ones below `folder`.
    pub(crate) fn open(
        folder: std::path::PathBuf,
        settings: &InboxConfig,
        public_url: String,
    ) -> Self {
        let shop = settings.shop.clone();
        let mut built_in = environment(&shop);
        for (name, source) in BUILT_IN {
            built_in
                .add_template(name, source)
                .expect("built-in templates compile: each is rendered by a test");
        }
        let custom = CustomTemplates::new(folder, shop.clone());
        let language = settings.language.to_ascii_lowercase();
        Self(Arc::new(Inner {
            shop,
            public_url,
            language,
            built_in,
            custom,
        }))
    }

    /// The text of a notification for a reader of `languages`, preferred first.
    pub(crate) fn notice(&self, topic: &Topic, languages: &[String]) -> Text {
        let name = format!("{}.txt", topic.kind());
        self.text(&name, languages, &data_of(topic))
    }

    /// The mail of a notification.
    pub(crate) fn mail(&self, topic: &Topic, to: &Contact) -> MailText {
        self.lay_out(self.notice(topic, to.language.as_slice()), to)
    }

    /// The mail with a one-time code.
    pub(crate) fn code_mail(
        &self,
        purpose: model::CodePurpose,
        code: &str,
        to: &Contact,
    ) -> MailText {
        #[derive(Serialize)]
        struct Data<'a> {
            code: &'a str,
            purpose: model::CodePurpose,
        }
        let data = Value::from(Serde(Data { code, purpose }));
        self.lay_out(self.text(CODE, to.language.as_slice(), &data), to)
    }

    /// The mail with the link that undoes a change of address.
    pub(crate) fn undo_mail(&self, token: &str, to: &Contact) -> MailText {
        #[derive(Serialize)]
        struct Data {
            link: String,
        }
        let link = format!("{}{UNDO_PAGE}{token}", self.0.public_url);
        let data = Value::from(Serde(Data { link }));
        self.lay_out(self.text(EMAIL_UNDO, to.language.as_slice(), &data), to)
    }

    fn text(&self, name: &str, languages: &[String], data: &Value) -> Text {
        let text = self.render(name, languages, data, |rendered| {
            let (title, body) = rendered.split_once('\n').unwrap_or((&rendered, ""));
            let (title, body) = (title.trim().to_owned(), body.trim().to_owned());
            let is_complete = !title.is_empty() && !body.is_empty();
            is_complete.then_some(Text { title, body })
        });
        text.unwrap_or_else(|| Text { title: name.to_owned(), body: String::new() })
    }

    fn lay_out(&self, text: Text, to: &Contact) -> MailText {
        #[derive(Serialize)]
        struct Data<'a> {
            title: &'a str,
            body: &'a str,
            paragraphs: Vec<&'a str>,
            name: &'a str,
            shop: &'a str,
        }
        let Text { title, body } = &text;
        let paragraphs = body.split("\n\n").collect();
        let (name, shop) = (&to.name, &self.0.shop);
        let data = Value::from(Serde(Data { title, body, paragraphs, name, shop }));
        let part = |layout| {
            let part = self.render(layout, to.language.as_slice(), &data, Some);
            part.unwrap_or_else(|| body.clone())
        };
        let (text, html) = (part("mail.txt"), part("mail.html"));
        MailText { subject: title.clone(), text, html }
    }

    /// Renders the first usable template: the reader's languages, the shop's, then English;
    /// of each the custom template before the built-in one.
    fn render<T>(
        &self,
        name: &str,
        languages: &[String],
        data: &Value,
        usable: impl Fn(String) -> Option<T>,
    ) -> Option<T> {
        let custom = self.0.custom.current();
        for language in widened(languages, &self.0.language) {
            let name = format!("{language}/{name}");
            if let Ok(template) = custom.templates.get_template(&name) {
                let nothing = || {
                    Fault::new(
                        ErrorKind::InvalidOperation,
                        "its first line, or all after it, is empty",
                    )
                };
                let rendered = template.render(data);
                match rendered.and_then(|text| usable(text).ok_or_else(nothing)) {
                    Ok(text) => return Some(text),
                    Err(fault) => custom.log_once(&name, &fault),
                }
            }
            if let Ok(template) = self.0.built_in.get_template(&name)
                && let Ok(rendered) = template.render(data)
                && let Some(text) = usable(rendered)
            {
                return Some(text);
            }
        }
        None
    }
}

/// The variables of a topic's template.
fn data_of(topic: &Topic) -> Value {
    let mut written = serde_json::to_value(topic).unwrap_or_default();
    Value::from(Serde(written["data"].take()))
}

/// Each language in lower case, followed by its primary subtag; the shop's and English last.
fn widened(languages: &[String], shop: &str) -> Vec<String> {
    let mut widened: Vec<String> = Vec::new();
    let last = [shop, "en"];
    for tag in languages.iter().map(String::as_str).chain(last) {
        let tag = tag.to_ascii_lowercase();
        let primary = tag.split('-').next().unwrap_or_default().to_owned();
        for tag in [tag, primary] {
            if !widened.contains(&tag) {
                widened.push(tag);
            }
        }
    }
    widened
}

/// An empty template environment. Rendering an undefined variable fails; testing for one
/// does not.
fn environment(shop: &str) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_fuel(Some(FUEL));
    environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    environment.add_global("shop", shop);
    environment.add_filter("money", money);
    environment
}

/// `{{ amount|money }}`: `19.99 EUR`; `{{ amount|money(",") }}`: `19,99 EUR`.
fn money(money: &Value, mark: Option<&str>) -> Result<String, Fault> {
    let amount = i64::try_from(money.get_attr("amount")?)?;
    let currency = money.get_attr("currency")?;
    let code = currency.as_str().unwrap_or_default();
    let digits = code.parse().map_or(2, model::Currency::minor_digits);
    let (sign, amount) = (if amount < 0 { "-" } else { "" }, amount.unsigned_abs());
    let unit = 10_u64.pow(digits);
    let (whole, part) = (amount / unit, amount % unit);
    Ok(match digits {
        0 => format!("{sign}{whole} {currency}"),
        _ => {
            let (mark, width) = (mark.unwrap_or("."), digits as usize);
            format!("{sign}{whole}{mark}{part:0width$} {currency}")
        }
    })
}

#[cfg(test)]
mod tests;
