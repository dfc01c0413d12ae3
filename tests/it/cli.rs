//! What a person at a terminal is told when something is wrong: one clear line
//! and the right exit code.

use std::net::TcpListener;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::world::{Shop, konbini};

fn told(command: &mut Command) -> (Option<i32>, String) {
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
fn one_clear_line() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data").display().to_string();
    let up =
        |data: &str, listen: &str| told(&mut konbini(&["up", "--data", data, "--listen", listen]));

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, said) = up(&data, &address);
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains(&address), "{said}");

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

#[tokio::test(flavor = "multi_thread")]
async fn one_shop_a_folder() {
    let mut shop = Shop::up().await;
    let (code, said) = told(&mut konbini(&[
        "up",
        "--data",
        &shop.data(),
        "--listen",
        "127.0.0.1:0",
    ]));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("in use by another process"), "{said}");
    shop.terminate();
    // At rest the same command works by itself.
    let made = shop.add_user("later@konbini.example", "staff", "a kettle and three lamps");
    assert!(made.starts_with("made user_"), "{made}");
    let changed = shop.add_user("later@konbini.example", "admin", "a kettle and four lamps");
    assert!(changed.starts_with("changed user_"), "{changed}");
}
