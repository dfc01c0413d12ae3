//! Commands for the operator: status, doctor, the live events, and the support bundle.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, ChildStdout, Output, Stdio};
use std::sync::mpsc::{self, Receiver};

use serde_json::{Value, json};
use testkit::TIMEOUT;
use testkit::shop::{Form, SERVICES, Shop};

use crate::people::{PASSWORD, Person, lamp, pieces};
use crate::world::{closed, konbini, open};

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

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_names_what_is_wrong_with_a_host() {
    let shop = closed();
    shop.init().unwrap();
    let closed_port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let settings = format!(
        "public_url = \"https://shop.invalid\"\n[gateway]\nlisten = \"{}\"\n\
         [mail]\nserver = \"127.0.0.1\"\nport = {closed_port}\nsecurity = \"none\"\nfrom = \"shop@konbini.example\"\n",
        taken.local_addr().unwrap()
    );
    shop.configure(&settings).unwrap();
    let keys = std::fs::read_dir(shop.data().join("keys")).unwrap();
    let key = keys.map(|entry| entry.unwrap().path()).next().unwrap();
    let readable =
        |mode| std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
    readable(0o644);
    let (code, text, said) = run(&shop, &["doctor", "--json"]);
    assert_eq!(code, Some(1), "{said}");
    let found = document(&text);
    let verdicts: BTreeMap<_, _> = found["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (
                one["check"].as_str().unwrap(),
                one["verdict"].as_str().unwrap(),
            )
        })
        .collect();
    assert!(verdicts.len() >= 14, "{verdicts:?}");
    for check in ["ports", "mail", "secrets"] {
        assert_eq!(verdicts[check], "problem", "{found}");
    }
    assert_eq!(
        (verdicts["settings"], verdicts["backups"]),
        ("ok", "warning"),
        "{found}"
    );
    readable(0o600);
    shop.configure("[stor]\n").unwrap();
    let (_, text, _) = run(&shop, &["doctor"]);
    let line = text
        .lines()
        .find(|line| line.starts_with("problem settings: "))
        .unwrap();
    assert!(
        line.contains("line 1: stor") && line.contains("konbini config check"),
        "{line}"
    );
    assert!(
        text.lines()
            .any(|line| line.starts_with("ok      secrets: ")),
        "{text}"
    );
}

const EMAIL: &str = "yolanda@konbini.example";
const NAME: &str = "Yolanda Quispe";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Registers a person who orders a product; returns what is theirs: address, name, password,
/// id and tokens.
async fn play(shop: &Shop, product: &str) -> Vec<String> {
    let stranger = Person::stranger(shop);
    let account = json!({ "email": EMAIL, "name": NAME, "password": PASSWORD });
    let user = stranger.post("/v1/users", account).await.body;
    let login = json!({ "email": EMAIL, "password": PASSWORD });
    let pair = stranger.post("/v1/sessions", login).await.body;
    let buyer = stranger.log_in(EMAIL).await;
    let placed = buyer.post("/v1/orders", pieces(product, 1)).await;
    assert_eq!(placed.status, 201, "{placed:?}");
    let mut theirs = [EMAIL, NAME, PASSWORD].map(str::to_owned).to_vec();
    for (document, name) in [
        (&user, "id"),
        (&pair, "access_token"),
        (&pair, "refresh_token"),
    ] {
        theirs.push(document[name].as_str().unwrap().to_owned());
    }
    theirs
}

/// The secrets in the shop's folder.
fn secrets(shop: &Shop) -> Vec<String> {
    let folders = ["keys", "users"].map(|folder| shop.data().join(folder));
    let entries = folders
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let files = entries.map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|kind| kind == "secret"));
    let texts = files.map(|path| std::fs::read_to_string(path).unwrap().trim().to_owned());
    texts.chain([SECRET.to_owned()]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_support_bundle_has_nothing_of_a_person() {
    let mut shop = closed();
    shop.init().unwrap();
    let settings = format!("[payments]\nsecrets = [\"{SECRET}\"]\n");
    shop.configure(&settings).unwrap();
    shop.open(Form::Up).unwrap();
    shop.ready().await.unwrap();
    let admin = Person::admin(&shop).await;
    let ids = admin.sell(&[lamp("LAMP-1", "Brass desk lamp", 9)]).await;
    let theirs = play(&shop, &ids[0]).await;
    // Tables are counted when they are checkpointed, for example at the end.
    shop.terminate_all().await.unwrap();
    shop.open(Form::Up).unwrap();
    shop.ready().await.unwrap();

    let file = shop.data().with_file_name("bundle.tar.zst");
    let words = ["support-bundle", "--check", file.to_str().unwrap()];
    let (code, listed, said) = run(&shop, &words);
    assert_eq!(code, Some(0), "{said}");
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let packed = std::fs::File::open(&file).unwrap();
    let mut text = String::new();
    let mut unpacked = zstd::Decoder::new(packed).unwrap();
    unpacked.read_to_string(&mut text).unwrap();
    for part in [
        "README",
        "versions",
        "config.jsonl",
        "status.json",
        "doctor.json",
        "check.json",
        "metrics",
        "journal",
        "files",
        "tables.json",
        "events.jsonl",
    ] {
        let name = format!("konbini-support/{part}");
        assert!(text.contains(&name) && listed.contains(part), "{listed}");
    }
    for present in [
        "order.placed",
        &ids[0],
        "konbini_http_request_seconds",
        "\"users_by_email\": 2",
        "gateway.limits.write_ms",
    ] {
        assert!(text.contains(present), "{present}");
    }
    let secrets = secrets(&shop);
    assert!(secrets.len() > 4, "{}", secrets.len());
    for secret in theirs.iter().chain(&secrets) {
        assert!(!text.contains(secret), "{secret}");
    }
    shop.terminate_all().await.unwrap();
}
