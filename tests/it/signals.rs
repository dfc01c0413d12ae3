//! Signals and standard error, as an operator meets them: SIGHUP ends no process, and a
//! process whose standard error has no reader runs and ends like any other.

use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use testkit::shop::Form;

use crate::people::Person;
use crate::world::{closed, konbini, open};

/// A process ends within 10 s of SIGTERM.
const END_TIMEOUT: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_ends_no_process() {
    let mut shop = open(Form::Run).await;
    for name in Form::Run.processes() {
        shop.signal(name, Signal::HUP).unwrap();
    }
    let person = Person::register(&shop, "mori@konbini.example").await;
    assert_eq!(person.get("/v1/users/me").await.status, 200);
    // Fails for a process that has ended.
    shop.terminate_all().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_without_a_reader_of_its_lines_ends_as_others_do() {
    let mut shop = closed();
    let data = shop.data().display().to_string();
    let address = shop.address().to_string();
    let mut child = konbini(&["up", "--data", &data, "--listen", &address])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    shop.ready().await.unwrap();
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let deadline = Instant::now() + END_TIMEOUT;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(
            Instant::now() < deadline,
            "it did not end within {END_TIMEOUT:?}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(status.success(), "{status}");
}
