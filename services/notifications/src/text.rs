//! Texts of notifications: one title and one body per kind, in the reader's language, for
//! inboxes and mail alike.
//!
//! A template is a file: its first line is the title and a mail's subject, the rest is the
//! body. `mail.txt` and `mail.html` of a language lay a mail out: they have its words and
//! include the one `layout`. Built-in templates are compiled in; a file of the same name in
//! `DATA/templates/` overrides one from the moment it is written. Texts are rendered when they
//! are read, so a changed template or language applies to older notifications too.
//!
//! **Invariant:** a faulty template never loses a message. A file that does not compile, does
//! not render or renders to nothing is logged once with its line, and the next template in
//! order is used; the last one is built in.

pub(crate) mod order;
pub(crate) mod samples;
mod templates;

use crate::config::InboxConfig;
use std::path::Path;
use std::sync::Arc;

use mesh::Contact;
use minijinja::value::Serde;
use minijinja::{Environment, Error as Fault, ErrorKind, UndefinedBehavior, Value};
use model::{Money, Time};
use serde::Serialize;

use self::order::OrderData;
use self::templates::{BUILT_IN, CustomTemplates};
use crate::domain::{CODE_KIND, Counted, DIGEST_KIND, EMAIL_UNDO_KIND, Topic};

/// Instruction limit of one rendering; built-in templates take some hundred, and some twenty
/// for each line of an order.
const FUEL: u64 = 50_000;

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
pub struct MailText {
    /// One line.
    pub subject: String,
    /// The plain text part.
    pub text: String,
    /// The HTML part.
    pub html: String,
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

/// What templates know of the shop.
#[derive(Debug, Clone, Default)]
struct ShopData {
    name: String,
    logo: Option<String>,
    /// Lines of text.
    address: Vec<String>,
}

/// All templates. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Texts(Arc<Inner>);

struct Inner {
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
        let shop = ShopData {
            name: settings.shop.clone(),
            logo: settings.shop_logo.clone(),
            address: settings.shop_address.clone(),
        };
        let built_in = environment(&shop);
        let custom = CustomTemplates::new(folder, shop);
        let language = settings.language.to_ascii_lowercase();
        Self(Arc::new(Inner { public_url, language, built_in, custom }))
    }

    /// The text of a notification for a reader of `languages`, preferred first.
    pub(crate) fn notice(
        &self,
        topic: &Topic,
        order: Option<&OrderData>,
        languages: &[String],
    ) -> Text {
        self.text(topic.kind(), languages, &data_of(topic, order))
    }

    /// The mail of a notification.
    pub(crate) fn mail(&self, topic: &Topic, order: Option<&OrderData>, to: &Contact) -> MailText {
        let text = self.notice(topic, order, to.language.as_slice());
        self.lay_out(text, order, to)
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
        self.plain_mail(CODE_KIND, Data { code, purpose }, to)
    }

    /// The mail with the link that undoes a change of address.
    pub(crate) fn undo_mail(&self, token: &str, to: &Contact) -> MailText {
        #[derive(Serialize)]
        struct Data {
            link: String,
        }
        let link = format!("{}{UNDO_PAGE}{token}", self.0.public_url);
        self.plain_mail(EMAIL_UNDO_KIND, Data { link }, to)
    }

    /// The mail with the number of further notifications of a kind since a moment.
    pub(crate) fn digest_mail(
        &self,
        kind: &str,
        count: u64,
        since: Time,
        to: &Contact,
    ) -> MailText {
        let text = self.digest(kind, Counted { count, since }, to.language.as_slice());
        self.lay_out(text, None, to)
    }

    /// The text of an entry or a mail that counts notifications of a kind.
    pub(crate) fn digest(&self, kind: &str, counted: Counted, languages: &[String]) -> Text {
        #[derive(Serialize)]
        struct Data<'a> {
            kind: &'a str,
            count: u64,
            since: Time,
        }
        let Counted { count, since } = counted;
        let data = Value::from(Serde(Data { kind, count, since }));
        self.text(DIGEST_KIND, languages, &data)
    }

    fn plain_mail<D: Serialize>(&self, kind: &str, data: D, to: &Contact) -> MailText {
        let text = self.text(kind, to.language.as_slice(), &Value::from(Serde(data)));
        self.lay_out(text, None, to)
    }

    fn text(&self, kind: &str, languages: &[String], data: &Value) -> Text {
        let text = self.render(&format!("{kind}.txt"), languages, data, |rendered| {
            let (title, body) = rendered.split_once('\n').unwrap_or((&rendered, ""));
            let (title, body) = (title.trim().to_owned(), body.trim().to_owned());
            let is_complete = !title.is_empty() && !body.is_empty();
            is_complete.then_some(Text { title, body })
        });
        text.unwrap_or_else(|| Text { title: kind.to_owned(), body: String::new() })
    }

    fn lay_out(&self, text: Text, order: Option<&OrderData>, to: &Contact) -> MailText {
        #[derive(Serialize)]
        struct Data<'a> {
            title: &'a str,
            body: &'a str,
            paragraphs: Vec<&'a str>,
            name: &'a str,
            order: Option<&'a OrderData>,
        }
        let Text { title, body } = &text;
        let paragraphs = body.split("\n\n").collect();
        let name = &to.name;
        let data = Value::from(Serde(Data { title, body, paragraphs, name, order }));
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
        let rendered = |environment: &Environment<'_>, name: &str| {
            let nothing = || {
                let why = "its first line, or all after it, is empty";
                Fault::new(ErrorKind::InvalidOperation, why)
            };
            let rendered = environment.get_template(name)?.render(data)?;
            usable(rendered).ok_or_else(nothing)
        };
        for language in widened(languages, &self.0.language) {
            let name = format!("{language}/{name}");
            match rendered(&custom.templates, &name) {
                Ok(text) => return Some(text),
                Err(fault) if fault.kind() == ErrorKind::TemplateNotFound => {}
                Err(fault) => custom.log_once(&name, &fault),
            }
            if let Ok(text) = rendered(&self.0.built_in, &name) {
                return Some(text);
            }
        }
        None
    }
}

/// The variables of a topic's template.
fn data_of(topic: &Topic, order: Option<&OrderData>) -> Value {
    let mut written = serde_json::to_value(topic).unwrap_or_default();
    let mut data = written["data"].take();
    data["order"] = serde_json::to_value(order).unwrap_or_default();
    if let Some(id) = topic.order_id() {
        let name = order.map_or_else(|| id.to_string(), OrderData::name);
        data["order_number"] = name.into();
    }
    Value::from(Serde(data))
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

/// An environment with the built-in templates. Rendering an undefined variable fails; testing
/// for one does not.
fn environment(shop: &ShopData) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_fuel(Some(FUEL));
    environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    environment.add_global("shop", shop.name.clone());
    environment.add_global("shop_logo", shop.logo.clone());
    environment.add_global("shop_address", shop.address.clone());
    environment.add_filter("money", money);
    for (name, source) in BUILT_IN {
        environment
            .add_template(name, source)
            .expect("built-in templates compile: each is rendered by a test");
    }
    environment
}

/// `{{ amount|money }}`: `19.99 EUR`; `{{ amount|money(",") }}`: `19,99 EUR`.
fn money(money: &Value, mark: Option<&str>) -> Result<String, Fault> {
    let amount = i64::try_from(money.get_attr("amount")?)?;
    let currency = money.get_attr("currency")?;
    let currency = currency.as_str().and_then(|code| code.parse().ok());
    let currency = currency
        .ok_or_else(|| Fault::new(ErrorKind::InvalidOperation, "`currency` is not a currency"))?;
    let text = Money { amount, currency }.to_string();
    Ok(text.replacen('.', mark.unwrap_or("."), 1))
}

#[cfg(test)]
mod tests;
