//! Commands for the operator: status and the live events.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Output, Stdio};
use std::sync::mpsc::{self, Receiver};

use serde_json::{Value, json};
use testkit::TIMEOUT;
use testkit::shop::{Form, SERVICES, Shop};

use crate::people::{Person, lamp, pieces};
use crate::world::{konbini, open};

/// The exit code, standard output and standard error of a command on a shop.
fn run(shop: &Shop, words: &[&str]) -> (Option<i32>, String, String) {
    let mut command = konbini(words);
    let Output { status, stdout, stderr } =
        command.arg("--data").arg(shop.data()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

fn document(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_needs_no_token() {
    for form in [Form::Up, Form::Run] {
        let mut shop = open(form).await;
        let (code, text, said) = run(&shop, &["status", "--json"]);
        let status = document(&text);
        assert_eq!((code, &status["faults"]), (Some(0), &json!([])), "{said}");
        for service in SERVICES {
            let one = &status["services"][service];
            assert_eq!(one["state"], "ready", "{one}");
            assert!(
                one["log"]["tail"].is_u64() && one["store_bytes"].is_u64(),
                "{one}"
            );
        }
        let lag = &status["services"]["orders"]["followers"][0]["lag"];
        assert!(lag.is_u64(), "{lag}");
        let (_, text, _) = run(&shop, &["status"]);
        assert!(
            text.contains("orders\tready") && text.contains("no backup yet"),
            "{text}"
        );

        if form == Form::Run {
            shop.kill(&["notifications"]).unwrap();
            let (code, text, _) = run(&shop, &["status"]);
            assert_eq!(code, Some(1), "{text}");
            assert!(
                text.contains("not well notifications: it does not run"),
                "{text}"
            );
            assert!(text.contains("orders\tready"), "{text}");
        }
        shop.terminate_all().await.unwrap();
        let (code, text, said) = run(&shop, &["status", "--json"]);
        assert_eq!(code, Some(1), "{said}");
        assert_eq!(
            document(&text)["services"]["users"]["state"],
            "absent",
            "{text}"
        );
    }
}

/// A running `konbini events tail`, and the lines that it prints.
struct Tail {
    child: Child,
    lines: Receiver<String>,
}

impl Tail {
    fn start(shop: &Shop, words: &[&str]) -> Self {
        let mut command = konbini(&["events", "tail"]);
        command.args(words).arg("--data").arg(shop.data());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let (send, lines) = mpsc::sync_channel(1_000);
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || forward(stdout, &send));
        Self { child, lines }
    }

    /// The next line that contains all of these.
    fn find(&self, parts: &[&str]) -> String {
        loop {
            let line = self.lines.recv_timeout(TIMEOUT);
            let line = line.unwrap_or_else(|_| panic!("no line with {parts:?}"));
            if parts.iter().all(|part| line.contains(part)) {
                return line;
            }
        }
    }
}

fn forward(stdout: BufReader<ChildStdout>, send: &mpsc::SyncSender<String>) {
    for line in stdout.lines() {
        if send.send(line.unwrap()).is_err() {
            return;
        }
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_shown_as_they_happen() {
    let mut shop = open(Form::Run).await;
    let admin = Person::admin(&shop).await;
    let ids = admin.sell(&[lamp("LAMP-1", "Brass desk lamp", 9)]).await;
    let buyer = Person::register(&shop, "mori@konbini.example").await;
    let order = async || {
        let placed = buyer.post("/v1/orders", pieces(&ids[0], 1)).await;
        assert_eq!(placed.status, 201, "{placed:?}");
        placed.body["id"].as_str().unwrap().to_owned()
    };
    let first = order().await;
    let (all, json) = (
        Tail::start(&shop, &["-n", "50"]),
        Tail::start(&shop, &["-n", "50", "--json", "--kind", "order.placed"]),
    );
    all.find(&["\tproduct.created\tproducts/", &ids[0]]);
    all.find(&["\torder.placed\torders/", &first]);
    let placed = document(&json.find(&[]));
    assert_eq!(
        (&placed["kind"], &placed["data"]["order_id"]),
        (&json!("order.placed"), &json!(first))
    );
    all.find(&["\torder.confirmed\t", &first]);

    let second = order().await;
    json.find(&[&second]);
    all.find(&["\torder.confirmed\t", &second]);
    // A service that comes back is followed on.
    shop.kill(&["orders"]).unwrap();
    shop.start("orders").unwrap();
    shop.ready().await.unwrap();
    let third = order().await;
    json.find(&[&third]);
    let since = placed["id"].as_str().unwrap();
    let since = Tail::start(&shop, &["--since", since, "--json"]);
    let next = document(&since.find(&["orders/"]));
    assert_eq!(
        next["seq"].as_u64(),
        placed["seq"].as_u64().map(|seq| seq + 1)
    );

    // A reader that closes its pipe ends it without a complaint.
    let mut command = konbini(&["events", "tail", "-n", "1", "--data"]);
    command
        .arg(shop.data())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut closed = command.spawn().unwrap();
    let mut stdout = BufReader::new(closed.stdout.take().unwrap());
    stdout.read_line(&mut String::new()).unwrap();
    drop(stdout);
    order().await;
    let ended = closed.wait_with_output().unwrap();
    assert!(
        ended.status.success() && ended.stderr.is_empty(),
        "{ended:?}"
    );

    shop.terminate_all().await.unwrap();
    let (code, _, said) = run(&shop, &["events", "tail"]);
    assert!(
        code == Some(1) && said.contains("the shop does not run"),
        "{said}"
    );
    let (code, _, said) = run(&shop, &["events", "tail", "--since", "x"]);
    assert_eq!(code, Some(2), "{said}");
}
