//! Crash test: a loaded process is killed with SIGKILL repeatedly, half of the time during
//! the recovery from the previous kill.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use store::Options;
use testkit::crash::{Victim, audit_copy, load};

use crate::number_from_env;

/// The number of kills; `KONBINI_KILLS` overrides it.
const KILLS: u64 = 60;

/// The variable that makes the test binary the victim; its value is the seed.
const VICTIM_SEED: &str = "KONBINI_VICTIM_SEED";

/// Not a test: the process that [`no_acknowledged_write_is_lost_by_kills`]
/// starts. It opens the relative path `store` in its own folder.
#[test]
#[ignore = "the victim of the kill test, started by it"]
fn victim() {
    if let Some(seed) = number_from_env(VICTIM_SEED) {
        let ended = load(Path::new("store"), seed, &Options::default());
        panic!("the load ended by itself: {ended:?}");
    }
}

fn victim_in(folder: &Path, seed: u64) -> Victim {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--ignored", "--exact", "kill::victim", "--nocapture"])
        .current_dir(folder)
        .env(VICTIM_SEED, seed.to_string());
    Victim::spawn(command).expect("the victim starts")
}

#[test]
fn no_acknowledged_write_is_lost_by_kills() {
    let kills = number_from_env("KONBINI_KILLS").unwrap_or(KILLS);
    let seed = number_from_env("KONBINI_SEED").unwrap_or_else(rand::random);
    println!("KONBINI_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let (folder, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut acked = Vec::new();
    let (mut entries, mut before_open) = (0, 0);
    for kill in 0..kills {
        let mut victim = victim_in(folder.path(), random.random());
        // The moment of the kill is the subject of the test, hence a sleep.
        if kill % 2 == 0 {
            victim.wait_until_open().expect("it opens after every kill");
            std::thread::sleep(Duration::from_millis(random.random_range(20..250)));
        } else {
            std::thread::sleep(Duration::from_micros(random.random_range(0..30_000)));
        }
        let (new, opened) = victim.kill().unwrap();
        acked.extend(new);
        before_open += u64::from(!opened);
        let audit = audit_copy(&folder.path().join("store"), scratch.path(), &acked)
            .unwrap_or_else(|error| panic!("kill {kill}, KONBINI_SEED={seed}: {error}"));
        assert!(
            audit.is_clean(),
            "kill {kill}, KONBINI_SEED={seed}: {audit}"
        );
        entries = audit.entries;
    }
    println!(
        "{kills} kills, {before_open} of them before the store was open: {} acknowledged \
         transactions of {entries}, 0 lost, 0 torn, 0 failed opens",
        acked.len()
    );
    assert!(kills < 10 || acked.len() > 100, "the load was no load");
}
