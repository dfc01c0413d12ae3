//! Validation of webhooks, and when a message or a webhook is given up.

use chassis::FieldError;
use chassis::fields::Fields;
use model::Fact;

use super::*;
use crate::config::WebhooksConfig;
use crate::domain::Topic;
use crate::wire::RegisterWebhookBody;

fn register(url: &str, events: &[&str]) -> Result<Webhook, Vec<FieldError>> {
    let body = serde_json::json!({ "url": url, "events": events }).to_string();
    let body = Fields::read_checked(body.as_bytes()).unwrap();
    RegisterWebhookBody::webhook(body, &WebhooksConfig::default(), Time(0))
}

fn faults(url: &str, events: &[&str]) -> Vec<String> {
    register(url, events).map_or_else(
        |faults| faults.into_iter().map(|fault| fault.pointer).collect(),
        |_| Vec::new(),
    )
}

#[test]
fn every_invalid_field_is_named() {
    let good = "https://example.com/hook?x=1";
    assert_eq!(faults(good, &["order.confirmed", "order.paid"]), [""; 0]);
    let wrong = faults(
        "ftp://example.com",
        &["order.paid", "order.paid", "orders.*"],
    );
    assert_eq!(wrong, ["/url", "/events/1", "/events/2"]);
    assert_eq!(faults("", &[]), ["/url", "/events"]);
    for url in [
        "/hook",
        "http://example.com/",
        "https://me:secret@example.com/",
        "https://example.com/#here",
        "https://127.0.0.1/",
        "https://0x7f.1/",
        "https://2130706433/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://169.254.169.254/latest/meta-data/",
        "https://0177.0.0.1/",
        "https://017700000001/",
        "https://0x7f000001/",
        "https://127.1/",
        "https://0/",
        "https://\u{2460}\u{2461}\u{2466}.0.0.1/",
        "https://127\u{3002}0\u{3002}0\u{3002}1/",
        "https://%31%32%37.0.0.1/",
        "https://1\t27.0.0.1/",
        "https://[::7f00:1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[2002:7f00:1::]/",
        "https://[fe80::1%25eth0]/",
        "https://[::ffff:7f00:1]/",
        &format!("https://example.com/{}", "x".repeat(URL_BYTES_MAX)),
    ] {
        assert_eq!(faults(url, &["order.paid"]), ["/url"], "{url}");
    }
}

#[test]
fn a_message_ends_delivered_or_given_up() {
    let backoff = backoff(&WebhooksConfig::default());
    let attempt = |at: Time, status| {
        let answer = Some("x".repeat(ANSWER_BYTES_MAX));
        DeliveryAttempt { at, took_ms: 1, status, error: None, answer }
    };
    let mut message = WebhookMessage {
        kind: "order.paid".into(),
        payload: "{}".into(),
        created_at: Time(0),
        began_at: Time(0),
        failed: 0,
        due: Some(Time(0)),
        attempts: Vec::new(),
    };
    let mut attempts = 0;
    while let Some(due) = message.due {
        assert_eq!(message.status(), MessageStatus::Pending);
        message.note(attempt(due, Some(500)), None, &backoff, 0.5);
        attempts += 1;
    }
    assert_eq!(message.status(), MessageStatus::Failed);
    assert!((10..ATTEMPTS_MAX).contains(&attempts), "{attempts}");
    let kept = message.attempts.iter().filter(|one| one.answer.is_some());
    assert_eq!(kept.count(), ANSWERS_MAX);
    assert!(message.attempts.last().unwrap().answer.is_some());
    message.restart(Time(1));
    assert_eq!(
        (message.status(), message.due),
        (MessageStatus::Pending, Some(Time(1)))
    );
    message.note(attempt(Time(2), None), None, &backoff, 0.5);
    assert_eq!(message.due, Some(Time(2).after(backoff.first)));
    let hour = Duration::from_secs(3600);
    for (wish, pause) in [
        (Duration::ZERO, backoff.first * 2),
        (hour, hour),
        (hour * 24 * 365, backoff.pause_max),
    ] {
        message.restart(Time(1));
        message.failed = 1;
        message.note(attempt(Time(2), Some(503)), Some(wish), &backoff, 0.5);
        assert_eq!(message.due, Some(Time(2).after(pause)), "{wish:?}");
    }
    message.note(attempt(Time(3), Some(204)), None, &backoff, 0.5);
    assert_eq!(
        (message.status(), message.due),
        (MessageStatus::Delivered, None)
    );
}

#[test]
fn a_long_failure_disables_once_and_a_success_resets_it() {
    let five_days = Duration::from_secs(5 * 24 * 60 * 60);
    let new = || register("https://example.com", &["order.paid"]).unwrap();
    let failed =
        |at| DeliveryAttempt { at, took_ms: 1, status: Some(500), error: None, answer: None };
    let late = Time(1).after(five_days);
    let mut hook = new();
    assert_eq!(hook.note(&failed(Time(1)), five_days), Noted::Kept);
    assert_eq!(hook.note(&failed(Time(2)), five_days), Noted::Kept);
    assert_eq!(hook.note(&failed(late), five_days), Noted::Disabled);
    assert_eq!(hook.note(&failed(late), five_days), Noted::Kept, "once");
    assert!(!hook.is_subscribed("order.paid", late));

    let mut hook = new();
    hook.note(&failed(Time(1)), five_days);
    hook.note(
        &DeliveryAttempt { status: Some(200), ..failed(Time(2)) },
        five_days,
    );
    assert_eq!(hook.note(&failed(late), five_days), Noted::Kept);
    assert_eq!(
        hook.note(
            &DeliveryAttempt { status: Some(410), ..failed(late) },
            five_days
        ),
        Noted::Disabled
    );
}

/// A message of a version that kept no answers, and a notification of one that named no mail.
#[test]
fn rows_of_earlier_versions_are_read() {
    #[derive(Serialize, Deserialize)]
    struct EarlierAttempt {
        at: Time,
        took_ms: u64,
        status: Option<u16>,
        error: Option<String>,
    }
    #[derive(Serialize, Deserialize)]
    struct EarlierMessage {
        kind: String,
        payload: String,
        created_at: Time,
        began_at: Time,
        failed: u32,
        due: Option<Time>,
        attempts: Vec<EarlierAttempt>,
    }
    impl ::store::Record for EarlierMessage {}
    let attempt = EarlierAttempt { at: Time(3), took_ms: 4, status: Some(500), error: None };
    let earlier = EarlierMessage {
        kind: "order.paid".into(),
        payload: "{}".into(),
        created_at: Time(1),
        began_at: Time(2),
        failed: 1,
        due: Some(Time(9)),
        attempts: vec![attempt],
    };
    let bytes = ::store::encode(&earlier).unwrap();
    let message: WebhookMessage = ::store::decode(&bytes).unwrap();
    assert_eq!((message.due, message.attempts.len()), (Some(Time(9)), 1));
    let attempt = &message.attempts[0];
    assert_eq!((attempt.status, &attempt.answer), (Some(500), &None));

    let user = "user_01h455vb4pex5vsknk084sn02q";
    let data = serde_json::json!({ "user_id": user, "about": "order.paid", "code": 550 });
    let earlier = serde_json::json!({ "kind": "mail.failed", "data": data });
    let topic: crate::domain::Topic = serde_json::from_value(earlier).unwrap();
    assert!(matches!(
        topic,
        crate::domain::Topic::MailFailed { mail_id: None, code: Some(550), .. }
    ));
}

/// Other services publish their dead letters as events; those of this one are sent alike.
#[test]
fn dead_letters_of_every_service_look_alike() {
    let (service, source) = (String::from("notifications"), String::from("orders"));
    let topic = Topic::EventParked {
        service: service.clone(),
        source: source.clone(),
        seq: 7,
        count: 2,
    };
    let fact = Fact::EventParked { service, source, seq: 7, count: 2 };
    assert_eq!(topic.kind(), fact.kind());
    let (topic, event) = (serde_json::to_value(&topic), serde_json::to_value(&fact));
    assert_eq!(topic.unwrap()["data"], event.unwrap()[fact.kind()]);
}
