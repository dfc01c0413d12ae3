//! What is said: one title and one body a kind, in the reader's language, for
//! inboxes and mail alike.
//!
//! A text is a file: its first line is the title and a mail's subject, the rest is
//! the body. The built-in ones are compiled in; a file of the same name below
//! `DATA/templates/<language>/` takes the place of one, from the moment it is
//! written. Texts are made when they are shown, so that a better wording, or
//! another language, reaches what was told before.
//!
//! **Invariant:** a message is never lost for a text. A file that does not compile,
//! does not render or says nothing is named in the log with its line, once, and
//! the next best text is taken; the last one is built in.

mod built_in;
mod own;

use std::sync::Arc;

use minijinja::value::Serde;
use minijinja::{Environment, Error as Fault, ErrorKind, UndefinedBehavior, Value};
use serde::Serialize;

use self::own::Own;
use crate::domain::Topic;

/// How many steps rendering may take; ours take some hundred.
const FUEL: u64 = 50_000;

/// The text that brings a one-time code.
pub(crate) const CODE: &str = "user.code_requested.txt";

/// The words of a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text {
    /// One line.
    pub(crate) title: String,
    /// A sentence or two: what it means, and what to do now.
    pub(crate) body: String,
}

/// The words of a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MailText {
    /// One line.
    pub(crate) subject: String,
    /// For those who read text.
    pub(crate) text: String,
    /// The same as a page.
    pub(crate) html: String,
}

/// Every text there is. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Texts(Arc<Inner>);

struct Inner {
    shop: String,
    language: String,
    built_in: Environment<'static>,
    own: Own,
}

impl Texts {
    /// The built-in texts, and the owner's below `folder`.
    pub(crate) fn open(
        folder: std::path::PathBuf,
        settings: &chassis::config::Notifications,
    ) -> Self {
        let shop = settings.shop.clone();
        let mut built_in = environment(&shop);
        for (name, source) in built_in::FILES {
            built_in
                .add_template(name, source)
                .expect("the built-in texts compile: each is rendered by a test");
        }
        let own = Own::new(folder, shop.clone());
        let language = settings.language.to_ascii_lowercase();
        Self(Arc::new(Inner { shop, language, built_in, own }))
    }

    /// The words for `topic`, for somebody who reads `languages`, best first.
    pub(crate) fn notice(&self, topic: &Topic, languages: &[String]) -> Text {
        let name = format!("{}.txt", topic.kind());
        self.say(&name, languages, &data_of(topic))
    }

    /// A mail about `topic` to somebody of that name.
    pub(crate) fn mail(&self, topic: &Topic, name: &str, languages: &[String]) -> MailText {
        self.lay_out(self.notice(topic, languages), name, languages)
    }

    /// The mail that brings a one-time code.
    pub(crate) fn code_mail(
        &self,
        code: &str,
        purpose: model::CodePurpose,
        name: &str,
        languages: &[String],
    ) -> MailText {
        #[derive(Serialize)]
        struct Data<'a> {
            code: &'a str,
            purpose: model::CodePurpose,
        }
        let data = Value::from(Serde(Data { code, purpose }));
        self.lay_out(self.say(CODE, languages, &data), name, languages)
    }

    fn say(&self, name: &str, languages: &[String], data: &Value) -> Text {
        let text = self.render(name, languages, data, |rendered| {
            let (title, body) = rendered.split_once('\n').unwrap_or((&rendered, ""));
            let (title, body) = (title.trim().to_owned(), body.trim().to_owned());
            let spoken = !title.is_empty() && !body.is_empty();
            spoken.then_some(Text { title, body })
        });
        text.unwrap_or_else(|| Text { title: name.to_owned(), body: String::new() })
    }

    fn lay_out(&self, text: Text, name: &str, languages: &[String]) -> MailText {
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
        let shop = &self.0.shop;
        let data = Value::from(Serde(Data { title, body, paragraphs, name, shop }));
        let page = |layout| {
            let page = self.render(layout, languages, &data, Some);
            page.unwrap_or_else(|| body.clone())
        };
        let (text, html) = (page("mail.txt"), page("mail.html"));
        MailText { subject: title.clone(), text, html }
    }

    /// The first text that can be used: the reader's languages, the shop's, then
    /// English, the owner's before the built-in one.
    fn render<T>(
        &self,
        name: &str,
        languages: &[String],
        data: &Value,
        usable: impl Fn(String) -> Option<T>,
    ) -> Option<T> {
        let own = self.0.own.look();
        for language in widened(languages, &self.0.language) {
            let name = format!("{language}/{name}");
            if let Ok(template) = own.templates.get_template(&name) {
                let nothing = || {
                    Fault::new(
                        ErrorKind::InvalidOperation,
                        "its first line, or all after it, is empty",
                    )
                };
                let rendered = template.render(data);
                match rendered.and_then(|text| usable(text).ok_or_else(nothing)) {
                    Ok(text) => return Some(text),
                    Err(fault) => own.tell(&name, &fault),
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

/// What a topic's text may speak of.
fn data_of(topic: &Topic) -> Value {
    let mut written = serde_json::to_value(topic).unwrap_or_default();
    Value::from(Serde(written["data"].take()))
}

/// Each language, lower-cased, then without its region; the shop's and English
/// last.
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

/// An empty set of texts with what they may use. A text that speaks of something
/// that is not there fails, but may ask whether it is.
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
    let digits = decimals(currency.as_str().unwrap_or_default());
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

/// How many decimals a currency has (ISO 4217): two but for these.
fn decimals(currency: &str) -> u32 {
    match currency {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX"
        | "VND" | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        _ => 2,
    }
}

#[cfg(test)]
mod tests;
