//! Rendering of every topic in every language, and of valid and faulty custom templates.

use crate::config::{Config, InboxConfig};
use crate::preview::{mail_kinds, preview_mails};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use minijinja::ErrorKind;
use model::{Id, Money};
use tempfile::TempDir;

use super::*;

fn open(folder: &Path, language: &str) -> Texts {
    let settings = InboxConfig {
        language: language.into(),
        shop: "Mori & Söhne".into(),
        ..InboxConfig::default()
    };
    Texts::open(folder.to_owned(), &settings, "https://shop.example".into())
}

fn languages(tags: &[&str]) -> Vec<String> {
    tags.iter().map(ToString::to_string).collect()
}

fn write(folder: &TempDir, name: &str, text: &str) {
    let file = folder.path().join(name);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
}

/// The mails of a kind, as a shop with an address sends them.
fn mails(kind: &str, language: &str) -> Vec<MailText> {
    let mut config = Config {
        public_url: "https://shop.example".into(),
        ..Config::default()
    };
    config.notifications.shop = "Mori & Söhne".into();
    config.notifications.shop_address = vec!["Hafenstraße 3".into(), "20457 Hamburg".into()];
    preview_mails("/nowhere".into(), config, kind, Some(language))
}

/// A change of a snapshot is a change of what people read.
#[test]
fn every_kind_in_every_language() {
    for kind in mail_kinds() {
        let [english, german] = ["en", "de"].map(|language| mails(kind, language));
        assert!(
            !english.is_empty() && english.len() == german.len(),
            "{kind}"
        );
        for (english, german) in english.iter().zip(&german) {
            assert_ne!(
                english.subject, german.subject,
                "no language falls back to another"
            );
        }
        for (language, mails) in [("en", english), ("de", german)] {
            let shown = mails.iter().map(|MailText { subject, text, html }| {
                let (_, body) = html.split_once("</head>\n").unwrap();
                assert!(!subject.is_empty() && !subject.contains('\n'), "{subject}");
                for needless in ["<script", "src=", "url(", "@import", "<link", "none"] {
                    assert!(!html.contains(needless), "{needless} in {html}");
                }
                format!("Subject: {subject}\n\n{text}\n\n{body}")
            });
            let shown: Vec<_> = shown.collect();
            insta::assert_snapshot!(format!("{kind}.{language}"), shown.join("\n\n=====\n\n"));
        }
    }
    let html = mails("order.confirmed", "en").remove(0).html;
    let (head, _) = html.split_once("</head>").unwrap();
    insta::assert_snapshot!("head", head);
}

#[test]
fn codes_and_links_are_in_the_mail() {
    for mail in mails(CODE_KIND, "de") {
        assert!(mail.text.contains("73920185") && mail.html.contains("73920185"));
        assert!(
            mail.text.starts_with("Guten Tag Ann Mori,"),
            "{}",
            mail.text
        );
    }
    let undo = mails(EMAIL_UNDO_KIND, "de").remove(0);
    let link = "https://shop.example/account/undo#undo_AAAA";
    assert!(undo.text.contains(link), "{}", undo.text);
    assert!(undo.html.contains("<a href=") && undo.html.contains("undo_AAAA"));
}

/// The inbox may have no answer of orders, so each text is complete without one.
#[test]
fn an_inbox_entry_needs_no_order() {
    let texts = open(Path::new("/nowhere"), "en");
    for topic in samples::topics() {
        for language in ["en", "de"] {
            let text = texts.notice(&topic, None, &languages(&[language]));
            assert!(
                !text.title.is_empty() && text.title != topic.kind(),
                "{text:?}"
            );
            assert!(
                !text.body.is_empty() && !text.body.contains("none"),
                "{text:?}"
            );
        }
    }
}

/// The largest order fits into the instruction limit.
#[test]
fn an_order_of_a_hundred_lines_is_laid_out() {
    let texts = open(Path::new("/nowhere"), "en");
    let order_id = Id::new();
    for topic in [
        Topic::OrderRejected { order_id },
        Topic::OrderPlaced { order_id },
    ] {
        let order = samples::order_of_lines(&topic, 100);
        let mail = texts.mail(&topic, Some(&order), &samples::contact(None));
        // The lines, the discount, shipping, and the tax.
        assert_eq!(mail.html.matches("<tr>").count(), 103, "{}", mail.html);
        assert_eq!(mail.text.matches("24.99 EUR").count(), 100, "{}", mail.text);
    }
}

/// A logo is shown where there is one, and nothing else is loaded from anywhere.
#[test]
fn a_logo_takes_the_place_of_the_name() {
    let mut config = Config::default();
    config.notifications.shop_logo = Some("https://shop.example/logo.png".into());
    let mail = preview_mails("/nowhere".into(), config, "order.paid", None).remove(0);
    assert_eq!(mail.html.matches("src=").count(), 1);
    assert!(mail.html.contains("alt=\"konbini\""), "{}", mail.html);
}

#[test]
fn html_is_escaped_and_text_is_not() {
    let texts = open(Path::new("/nowhere"), "en");
    let to = Contact { name: "<b>Ann</b>".into(), ..samples::contact(None) };
    let topic = samples::topics()
        .into_iter()
        .find(|topic| topic.kind() == "order.confirmed");
    let topic = topic.unwrap();
    let mail = texts.mail(&topic, samples::order(&topic).as_ref(), &to);
    assert!(mail.text.contains("Hello <b>Ann</b>,") && mail.text.contains("Mori & Söhne"));
    assert!(mail.text.contains("<rot>"), "{}", mail.text);
    for escaped in [
        "Hello &lt;b&gt;Ann&lt;&#x2f;b&gt;,",
        "&lt;rot&gt;",
        "Mori &amp; Söhne",
    ] {
        assert!(mail.html.contains(escaped), "{escaped} in {}", mail.html);
    }
}

#[test]
fn money_has_the_minor_digits_of_its_currency() {
    let written = |amount: i64, currency: &str, mark| {
        let currency = currency.parse().unwrap();
        money(&Value::from(Serde(Money { amount, currency })), mark).unwrap()
    };
    assert_eq!(written(1999, "EUR", None), "19.99 EUR");
    assert_eq!(written(5, "EUR", Some(",")), "0,05 EUR");
    assert_eq!(written(-150, "USD", None), "-1.50 USD");
    assert_eq!(written(1999, "JPY", None), "1999 JPY");
    assert_eq!(written(1_234_567, "KWD", None), "1234.567 KWD");
    assert!(money(&Value::from(7), None).is_err());
}

/// Custom templates win; a faulty one loses no message.
#[test]
fn custom_templates_override_built_in_ones() {
    let folder = TempDir::new().unwrap();
    let topic = Topic::StockLow { product_id: Id::new(), available: 2 };
    let built_in = open(Path::new("/nowhere"), "en").notice(&topic, None, &[]);
    write(
        &folder,
        "en/stock.low.txt",
        "Hurry\n\n{{ available }} at {{ shop }}!\n",
    );
    write(
        &folder,
        "fr/stock.low.txt",
        "Vite\n\nplus que {{ available }}\n",
    );
    let texts = open(folder.path(), "en");
    let own = texts.notice(&topic, None, &[]);
    assert_eq!(
        (own.title.as_str(), own.body.as_str()),
        ("Hurry", "2 at Mori & Söhne!")
    );
    let french = texts.notice(&topic, None, &languages(&["fr-CH", "en"]));
    assert_eq!(french.title, "Vite");
    let order = Topic::OrderPaid { order_id: Id::new() };
    assert_eq!(
        texts.notice(&order, None, &languages(&["fr"])).title,
        "We have received your payment"
    );

    for broken in [
        "Hurry\n\n{{ available ",
        "Hurry\n\n{{ avialable }}",
        "Hurry\n\n{{ available|shout }}",
        "Hurry",
        "\n\nHurry",
        "Hurry\n\n{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}",
    ] {
        write(&folder, "en/stock.low.txt", broken);
        assert_eq!(
            open(folder.path(), "en").notice(&topic, None, &[]),
            built_in,
            "{broken}"
        );
    }
}

/// One layout of the owner's counts in every language; a faulty one loses no mail.
#[test]
fn a_custom_layout_counts_in_every_language() {
    let folder = TempDir::new().unwrap();
    let topic = Topic::PasswordChanged {};
    let mail = |language| {
        let to = samples::contact(Some(language));
        open(folder.path(), "en").mail(&topic, None, &to)
    };
    let built_in = mail("de");
    write(&folder, "layout.txt", "{{ greeting }} {{ title }}\n");
    assert_eq!(mail("en").text, "Hello Ann Mori, Your password was changed");
    assert_eq!(
        mail("de").text,
        "Guten Tag Ann Mori, Ihr Passwort wurde geändert"
    );
    assert_eq!(mail("de").html, built_in.html);
    write(&folder, "layout.txt", "{{ greetin }}\n");
    assert_eq!(mail("de"), built_in);
    write(&folder, "notes.txt", "not a template");
    assert!(template_faults(folder.path()).is_empty());
}

/// An edit while the shop runs is picked up, and a fault has its line.
#[test]
fn a_change_is_picked_up_and_a_fault_has_its_line() {
    let folder = TempDir::new().unwrap();
    let topic = Topic::UserRegistered {};
    let texts = open(folder.path(), "en");
    assert_eq!(texts.notice(&topic, None, &[]).title, "Welcome");
    write(&folder, "en/user.registered.txt", "Hi\n\nthere\n");
    let deadline = Instant::now() + Duration::from_secs(20);
    while texts.notice(&topic, None, &[]).title != "Hi" {
        assert!(Instant::now() < deadline, "the change was not seen");
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut set = environment(&ShopData::default());
    let fault = set.add_template_owned("x", "a\n\n{% if %}").unwrap_err();
    assert_eq!(
        (fault.line(), fault.kind()),
        (Some(3), ErrorKind::SyntaxError)
    );
}

/// The page about templates has every kind, file and variable.
#[test]
fn the_page_about_templates_is_complete() {
    let page = include_str!("../../templates/README.md");
    let row_of = |name: &str| {
        let begin = format!("| `{name}` |");
        let row = page.lines().find(|line| line.starts_with(&begin));
        row.unwrap_or_else(|| panic!("no row of {name}"))
    };
    for kind in mail_kinds() {
        row_of(kind);
    }
    for topic in samples::topics() {
        let data = serde_json::to_value(&topic).unwrap();
        let row = row_of(topic.kind());
        for name in data["data"].as_object().unwrap().keys() {
            assert!(row.contains(&format!("`{name}`")), "{name} in {row}");
        }
        let Some(order) = samples::order(&topic) else {
            continue;
        };
        assert!(row.contains("`order`"), "{row}");
        let order = serde_json::to_value(&order).unwrap();
        let fields = order.as_object().unwrap().keys();
        for field in fields.chain(order["items"][0].as_object().unwrap().keys()) {
            assert!(page.contains(&format!("`{field}`")), "{field}");
        }
    }
}
