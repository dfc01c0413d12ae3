//! The command line: every failure prints one clear line and has the right exit code.

use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::shop::Form;
use testkit::{eventually, totp_code};

use crate::people::{PASSWORD, Person};
use crate::rollback::run;
use crate::world::{konbini, open};

fn failure(command: &mut Command) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = command.output().unwrap();
    let said = String::from_utf8(stderr).unwrap();
    assert!(
        !said.contains("panicked") && !said.contains("backtrace"),
        "{said}"
    );
    let lines: Vec<_> = said
        .lines()
        .filter(|line| line.starts_with("konbini:"))
        .collect();
    assert_eq!(lines.len(), 1, "{said}");
    (status.code(), lines[0].to_owned())
}

#[test]
fn a_failure_prints_one_line_and_its_exit_code() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data").display().to_string();
    let up = |data: &str, listen: &str| {
        failure(&mut konbini(&["up", "--data", data, "--listen", listen]))
    };

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, said) = up(&data, &address);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains(&address) && said.contains("another program"),
        "{said}"
    );

    // A host gets its address from the network some time after it has booted.
    let (code, said) = up(&data, "192.0.2.1:8080");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("does not have the address"), "{said}");

    std::fs::write(
        folder.path().join("data/konbini.toml"),
        "[gateway]\nlisten = \"nowhere\"\n",
    )
    .unwrap();
    let (code, said) = up(&data, "127.0.0.1:0");
    assert_eq!(code, Some(78), "{said}");
    assert!(
        said.contains("konbini.toml") && said.contains("line 2"),
        "{said}"
    );

    let foreign = folder.path().join("photos");
    std::fs::create_dir(&foreign).unwrap();
    std::fs::write(foreign.join("cat.jpg"), "meow").unwrap();
    let (code, said) = up(&foreign.display().to_string(), "127.0.0.1:0");
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("cat.jpg"), "{said}");
    assert_eq!(
        std::fs::read_dir(&foreign).unwrap().count(),
        1,
        "nothing was written"
    );

    let deep = folder.path().join("x".repeat(100)).display().to_string();
    let (code, said) = up(&deep, "127.0.0.1:0");
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("a shorter path"), "{said}");

    let usage = konbini(&["up", "--port", "3"]).output().unwrap();
    assert_eq!(usage.status.code(), Some(2));
    assert!(
        konbini(&["run", "--help"])
            .output()
            .unwrap()
            .status
            .success()
    );
}

#[test]
fn only_a_command_that_is_asked_to_makes_a_shop() {
    let folder = TempDir::new().unwrap();
    let absent = folder.path().join("absent");
    let data = absent.display().to_string();
    for command in [
        &["run", "users"][..],
        &["check"],
        &["keys", "list"],
        &["user", "list"],
        &["products", "import", "Cargo.toml"],
    ] {
        let (code, said) = failure(konbini(command).args(["--data", &data]));
        assert_eq!(code, Some(78), "{said}");
        assert!(said.contains("konbini init"), "{said}");
        assert!(!absent.exists(), "{command:?} made a shop");
    }
    let admin = [
        "user",
        "add",
        "--email",
        "boss@konbini.example",
        "--role",
        "admin",
    ];
    let (code, said) = failure(konbini(&admin).current_dir(folder.path()));
    assert_eq!(code, Some(78), "{said}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);

    let Output { status, stderr, .. } = konbini(&admin).args(["--data", &data]).output().unwrap();
    let said = String::from_utf8(stderr).unwrap();
    assert!(
        status.success() && said.contains("made a new shop in"),
        "{said}"
    );
    let again = konbini(&["init", "--data", &data]).output().unwrap();
    assert!(
        again.status.success() && again.stderr.is_empty(),
        "there is a shop"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_is_used_by_one_shop_at_a_time() {
    let mut shop = open(Form::Up).await;
    let (code, said) = failure(&mut konbini(&[
        "up",
        "--data",
        &shop.data().display().to_string(),
        "--listen",
        "127.0.0.1:0",
    ]));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("in use by another process"), "{said}");
    shop.terminate_all().await.unwrap();
    // The same command works while the shop is stopped.
    let made = shop
        .add_user("later@konbini.example", "staff", "a kettle and three lamps")
        .unwrap();
    assert!(made.starts_with("created user_"), "{made}");
    let changed = shop
        .add_user("later@konbini.example", "admin", "a kettle and four lamps")
        .unwrap();
    assert!(changed.starts_with("changed user_"), "{changed}");
}

fn lines(args: &[&str], input: &str) -> Vec<String> {
    let mut child = konbini(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    write!(child.stdin.take().unwrap(), "{input}").unwrap();
    let Output { status, stdout, .. } = child.wait_with_output().unwrap();
    let said = String::from_utf8(stdout).unwrap();
    assert!(status.success(), "{args:?}: {said}");
    said.lines().map(str::to_owned).collect()
}

/// The same commands with the shop running and stopped.
#[tokio::test(flavor = "multi_thread")]
async fn accounts_and_keys_are_managed_with_the_shop_running_or_stopped() {
    const EMAIL: &str = "ana@konbini.example";
    let mut shop = open(Form::Up).await;
    let data = shop.data().display().to_string();
    shop.add_user(EMAIL, "staff", "a kettle and three lamps")
        .unwrap();
    let log_in = async |password: &str| {
        let body = json!({ "email": EMAIL, "password": password });
        let client = reqwest::Client::new();
        let login = client.post(shop.url("/v1/sessions")).json(&body);
        login.send().await.unwrap().status().as_u16()
    };

    let of = |what: &'static str, email: &'static str| -> Vec<String> {
        let words = format!("user {what} --data {data} --email {email}");
        words.split(' ').map(str::to_owned).collect()
    };
    let ask = of("passwd", EMAIL);
    let words = ask.iter().map(String::as_str);
    let passwd: Vec<_> = words.chain(["--password-stdin"]).collect();
    assert!(lines(&passwd, "a kettle and four lamps\n")[0].starts_with("changed user_"));
    assert_eq!(log_in("a kettle and three lamps").await, 401);
    assert_eq!(log_in("a kettle and four lamps").await, 201);
    let asked = failure(konbini(&passwd[..passwd.len() - 1]).stdin(Stdio::null()));
    assert_eq!(asked.0, Some(2), "no terminal to ask at: {}", asked.1);
    let stranger = of("roles", "b@b.example --role admin");
    let stranger: Vec<_> = stranger.iter().map(String::as_str).collect();
    let (code, said) = failure(&mut konbini(&stranger));
    assert!(
        code == Some(1) && said.contains("there is no account"),
        "{said}"
    );

    let rotate = ["keys", "rotate", "--data", &data, "--json"];
    let json = |line: &String| serde_json::from_str::<Value>(line).unwrap();
    let keys = |lines: Vec<String>| lines.iter().map(json).collect::<Vec<_>>();
    let running = keys(lines(&rotate, ""));
    assert_eq!(running.len(), 2);
    let document = reqwest::get(shop.url("/.well-known/paserk.json"))
        .await
        .unwrap();
    let document: Value = serde_json::from_str(&document.text().await.unwrap()).unwrap();
    assert_eq!(document["keys"][0]["kid"], running[0]["kid"]);
    assert_eq!(log_in("a kettle and four lamps").await, 201);
    shop.terminate_all().await.unwrap();

    let roles = [
        "user", "roles", "--data", &data, "--email", EMAIL, "--role", "admin",
    ];
    assert!(lines(&roles, "")[0].starts_with("changed user_"));
    let list = lines(&["user", "list", "--data", &data], "");
    let row: Vec<_> = list[0].split('\t').collect();
    assert_eq!(
        (list.len(), row[1], row[2], row[4]),
        (1, "active", "customer,admin", EMAIL)
    );
    let rested = keys(lines(&rotate, ""));
    assert_eq!(rested.len(), 3);
    assert_eq!(rested[1]["kid"], running[0]["kid"]);
    let listed = lines(&["keys", "list", "--data", &data], "");
    let statuses: Vec<_> = listed
        .iter()
        .map(|line| line.split('\t').nth(1).unwrap())
        .collect();
    assert_eq!(statuses, ["active", "retiring", "retiring"]);

    let nowhere = format!("{data}/nowhere");
    let (code, said) = failure(&mut konbini(&["keys", "list", "--data", &nowhere]));
    assert_eq!(code, Some(78), "{said}");
    assert!(
        !std::path::Path::new(&nowhere).exists(),
        "looking makes no shop"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_second_factor_is_removed_with_the_shop_running_or_stopped() {
    const EMAIL: &str = "ana@konbini.example";
    let mut shop = open(Form::Up).await;
    let data = shop.data().display().to_string();
    shop.add_user(EMAIL, "staff", PASSWORD).unwrap();
    let reset = ["user", "factor-reset", "--data", &data, "--email", EMAIL];
    let (code, said) = failure(&mut konbini(&reset));
    assert!(
        code == Some(1) && said.contains("has no second factor"),
        "{said}"
    );
    for is_stopped in [false, true] {
        let anyone = Person::stranger(&shop);
        let ana = anyone.clone().log_in(EMAIL).await;
        let proof = json!({ "current_password": PASSWORD });
        let made = ana.post("/v1/users/me/totp", proof).await.body;
        let code = json!({ "code": totp_code(made["secret"].as_str().unwrap(), 0) });
        let confirmed = ana.post("/v1/users/me/totp/confirm", code).await;
        assert_eq!(confirmed.status, 200, "{confirmed:?}");
        let login = json!({ "email": EMAIL, "password": PASSWORD });
        let asked = anyone.post("/v1/sessions", login).await;
        assert_eq!(asked.body["type"], "/problems/second-factor");
        if is_stopped {
            shop.terminate_all().await.unwrap();
        }
        assert!(lines(&reset, "")[0].starts_with("changed user_"));
        if is_stopped {
            shop.open(Form::Up).unwrap();
            shop.ready().await.unwrap();
        }
        Person::stranger(&shop).log_in(EMAIL).await;
        let ended = || async { ana.get("/v1/users/me").await.status == 401 };
        eventually("its sessions end", ended).await;
    }
    shop.terminate_all().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_at_rest_is_compacted() {
    let mut shop = open(Form::Up).await;
    let admin = Person::admin(&shop).await;
    let (code, said) = run(&shop, &["compact"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("users is running; stop the shop first"),
        "{said}"
    );
    shop.terminate_all().await.unwrap();

    let (code, said) = run(&shop, &["compact", "--json"]);
    assert_eq!(code, Some(0), "{said}");
    let compacted: Vec<Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let services: Vec<_> = compacted
        .iter()
        .map(|one| one["service"].as_str().unwrap())
        .collect();
    assert_eq!(services.len(), 5, "{said}");
    assert!(
        compacted
            .iter()
            .all(|one| one["bytes_after"].as_u64() > Some(0)),
        "{said}"
    );
    let (code, said) = run(&shop, &["compact", "orders"]);
    assert!(code == Some(0) && said.starts_with("orders\t"), "{said}");
    let (code, said) = run(&shop, &["check"]);
    assert_eq!(code, Some(0), "{said}");
    shop.open(Form::Up).unwrap();
    shop.ready().await.unwrap();
    assert_eq!(admin.get("/v1/users/me").await.status, 200);
    shop.terminate_all().await.unwrap();
}
