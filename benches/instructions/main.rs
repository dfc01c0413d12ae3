//! The instructions of the shop's hot paths, counted by valgrind, against a baseline.
//!
//! `cargo bench --workspace --profile dev --bench instructions` compares, and fails where a
//! path takes more than [`TOLERANCE`] above its baseline; with `-- --update` it records the
//! baseline anew. Each path runs under cachegrind twice, with different numbers of
//! repetitions, and their difference is what the repetitions took: starting and preparing
//! fall out. Instructions do not depend on what else the host does, so this holds in CI,
//! where times do not.
//!
//! They are of the build that the tests use, whose own code is not optimised: an optimised
//! one of all crates would take longer than all tests. So a count is good for being compared
//! with itself, not with another path's.

mod paths;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use paths::{PATHS, Prepared};

/// Far more than what the seeds of hash tables and the files of an index add or take, 0.1 %: another
/// processor has other routines of the C library.
const TOLERANCE: f64 = 0.05;
/// Repetitions before those that are counted, for caches and lazy tables.
const REPETITIONS_BEFORE: u32 = 2;

type Counts = BTreeMap<String, u64>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["--counted", name, repetitions, folder] = arguments[..] {
        let repetitions = repetitions.parse().expect("a number of repetitions");
        let path = PATHS.iter().find(|path| path.name == name);
        let path = path.expect("the name of a path");
        (path.repeat)(Path::new(folder), repetitions);
        return ExitCode::SUCCESS;
    }
    let counts = count_all();
    if arguments.contains(&"--update") {
        write(&counts);
        return ExitCode::SUCCESS;
    }
    compare(&counts)
}

/// Counts every path, two at a time: valgrind runs a program on one core.
fn count_all() -> Counts {
    let prepared = Prepared::new();
    let folder = prepared.folder();
    let (even, odd): (Vec<_>, Vec<_>) = PATHS
        .iter()
        .enumerate()
        .partition(|(number, _)| number % 2 == 0);
    let count_half = |half: Vec<(usize, &paths::HotPath)>| -> Counts {
        let counts = half.into_iter().map(|(_, path)| {
            let few = REPETITIONS_BEFORE;
            let many = instructions(path.name, few + path.repetitions, folder);
            let more = many.checked_sub(instructions(path.name, few, folder));
            let more = more.expect("more repetitions take more instructions");
            (path.name.to_owned(), more / u64::from(path.repetitions))
        });
        counts.collect()
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(|| count_half(odd));
        let mut counts = count_half(even);
        counts.append(&mut other.join().expect("counting ends"));
        counts
    })
}

/// All instructions of this program when it runs one path so often.
fn instructions(name: &str, repetitions: u32, folder: &Path) -> u64 {
    let program = std::env::current_exe().expect("this program has a file");
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=cachegrind", "--cache-sim=no"]);
    valgrind.arg("--cachegrind-out-file=/dev/null").arg(program);
    valgrind.args(["--counted", name, &repetitions.to_string()]);
    let output = valgrind.arg(folder).output();
    let output = output.expect("valgrind is installed (Debian: apt install valgrind)");
    let report = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} failed:\n{report}");
    let line = report
        .lines()
        .find(|line| line.contains("I ") && line.contains("refs:"));
    let (_, count) = line
        .and_then(|line| line.rsplit_once(' '))
        .unwrap_or_else(|| panic!("no count of instructions:\n{report}"));
    count.replace(',', "").parse().expect("a count")
}

/// The baseline of this architecture.
fn baseline() -> PathBuf {
    let name = format!("instructions.{}.toml", std::env::consts::ARCH);
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("benches/instructions")
        .join(name)
}

fn write(counts: &Counts) {
    let rows = counts
        .iter()
        .map(|(name, count)| format!("{name} = {count}\n"));
    let head = "# Instructions of each hot path (main.rs); `-- --update` writes this file.\n";
    let text = head.to_owned() + &rows.collect::<String>();
    std::fs::write(baseline(), text).expect("the baseline can be written");
    println!("{} is written", baseline().display());
}

fn compare(counts: &Counts) -> ExitCode {
    let text = std::fs::read_to_string(baseline());
    let text = text.expect("a baseline of this architecture; `-- --update` writes it");
    let expected: Counts = toml::from_str(&text).expect("the baseline is TOML");
    let mut failed = expected.keys().any(|name| !counts.contains_key(name));
    for (name, count) in counts {
        let Some(expected) = expected.get(name) else {
            println!("✗ {name:<16}{count:>12}  has no baseline");
            failed = true;
            continue;
        };
        let change = *count as f64 / *expected as f64 - 1.0;
        let is_worse = change > TOLERANCE;
        let is_better = change < -TOLERANCE;
        let mark = if is_worse { "✗" } else { "✓" };
        let hint = if is_better {
            "  record it with `-- --update`"
        } else {
            ""
        };
        println!(
            "{mark} {name:<16}{count:>12}  {:+.2} %{hint}",
            change * 100.0
        );
        failed |= is_worse;
    }
    if failed {
        println!("Find the cause, or record the new counts with `-- --update` and say why.");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
