//! Rendering of every topic in every language, and of valid and faulty custom templates.

use crate::config::InboxConfig;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use minijinja::ErrorKind;
use model::{CodePurpose, Id, Mismatch, Money, Time, UserId};
use tempfile::TempDir;

use super::*;

fn topics() -> Vec<Topic> {
    let (order_id, session_id, product_id) = (Id::new(), Id::new(), Id::new());
    let amount = Money { amount: 1999, currency: "EUR".parse().unwrap() };
    vec![
        Topic::UserRegistered {},
        Topic::PasswordChanged {},
        Topic::EmailChanged {},
        Topic::SecondFactorChanged { enrolled: true },
        Topic::SecondFactorChanged { enrolled: false },
        Topic::SessionReused { session_id },
        Topic::OrderConfirmed { order_id },
        Topic::OrderRejected { order_id },
        Topic::OrderPaid { order_id },
        Topic::OrderShipped { order_id },
        Topic::OrderDelivered { order_id },
        Topic::OrderCancelled { order_id, refunded: Some(amount) },
        Topic::OrderCancelled { order_id, refunded: None },
        Topic::OrderRefunded { order_id, amount, in_full: true },
        Topic::StockLow { product_id, available: 3 },
        Topic::PaymentUnmatched { order_id: None, amount, reason: Mismatch::OrderOver },
        Topic::MailFailed {
            user_id: UserId::new(),
            about: "order.paid".into(),
            code: None,
        },
        Topic::WebhookDisabled { webhook_id: Id::new() },
        Topic::EventParked { source: "orders".into(), seq: 7, count: 1 },
        Topic::BackupFailed {},
        Topic::BackupOverdue { succeeded_at: Some(Time(7)), expected_hours: Some(26) },
        Topic::BackupOverdue { succeeded_at: None, expected_hours: Some(26) },
        Topic::BackupRecovered {},
    ]
}

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

fn contact(name: &str, language: Option<&str>) -> Contact {
    Contact {
        email: "ann@example.org".into(),
        email_verified: true,
        name: name.into(),
        language: language.map(Into::into),
    }
}

fn write(folder: &TempDir, name: &str, text: &str) {
    let file = folder.path().join(name);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
}

/// Each language has its own text, without a fallback to another one.
#[test]
fn every_kind_has_a_text_in_every_language() {
    let texts = open(Path::new("/nowhere"), "en");
    let topics = topics();
    for kind in Topic::KINDS {
        assert!(topics.iter().any(|topic| topic.kind() == *kind), "{kind}");
    }
    for topic in &topics {
        let english = texts.notice(topic, &[]);
        let german = texts.notice(topic, &languages(&["de-AT"]));
        assert_ne!(english.title, german.title);
        for text in [&english, &german] {
            let written = format!("{text:?}");
            assert!(
                !written.contains("{{") && !written.contains("{%"),
                "{written}"
            );
            assert!(!text.title.is_empty() && !text.body.is_empty(), "{written}");
        }
    }
    let undo = texts.undo_mail("undo_abc", &contact("Ann", Some("de")));
    let link = "https://shop.example/account/undo#undo_abc";
    assert!(undo.text.contains(link), "{}", undo.text);
    assert!(undo.html.contains("undo_abc"), "{}", undo.html);
    let purposes = [
        CodePurpose::PasswordReset,
        CodePurpose::EmailVerification,
        CodePurpose::EmailChange,
    ];
    for purpose in purposes {
        let mail = texts.code_mail(purpose, "123456", &contact("Ann", Some("de")));
        assert!(mail.text.contains("123456") && mail.html.contains("123456"));
        assert!(mail.text.starts_with("Guten Tag Ann,"), "{}", mail.text);
    }
}

#[test]
fn html_is_escaped_and_text_is_not() {
    let texts = open(Path::new("/nowhere"), "en");
    let mail = texts.mail(&Topic::PasswordChanged {}, &contact("<b>Ann</b>", None));
    assert!(mail.text.contains("Hello <b>Ann</b>,") && mail.text.contains("Mori & Söhne"));
    assert!(
        mail.html.contains("Hello &lt;b&gt;Ann&lt;&#x2f;b&gt;,"),
        "{}",
        mail.html
    );
    assert!(mail.html.contains("Mori &amp; Söhne"));
    assert_eq!(mail.html.matches("<p>").count(), 4);
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
    let built_in = open(Path::new("/nowhere"), "en").notice(&topic, &[]);
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
    let own = texts.notice(&topic, &[]);
    assert_eq!(
        (own.title.as_str(), own.body.as_str()),
        ("Hurry", "2 at Mori & Söhne!")
    );
    let french = texts.notice(&topic, &languages(&["fr-CH", "en"]));
    assert_eq!(french.title, "Vite");
    let order = Topic::OrderPaid { order_id: Id::new() };
    assert_eq!(
        texts.notice(&order, &languages(&["fr"])).title,
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
            open(folder.path(), "en").notice(&topic, &[]),
            built_in,
            "{broken}"
        );
    }
}

/// An edit while the shop runs is picked up, and a fault has its line.
#[test]
fn a_change_is_picked_up_and_a_fault_has_its_line() {
    let folder = TempDir::new().unwrap();
    let topic = Topic::UserRegistered {};
    let texts = open(folder.path(), "en");
    assert_eq!(texts.notice(&topic, &[]).title, "Welcome");
    write(&folder, "en/user.registered.txt", "Hi\n\nthere\n");
    let deadline = Instant::now() + Duration::from_secs(20);
    while texts.notice(&topic, &[]).title != "Hi" {
        assert!(Instant::now() < deadline, "the change was not seen");
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut set = environment("shop");
    let fault = set.add_template_owned("x", "a\n\n{% if %}").unwrap_err();
    assert_eq!(
        (fault.line(), fault.kind()),
        (Some(3), ErrorKind::SyntaxError)
    );
}
