//! `konbini-bench power-cut`: power cuts under a loaded store, again and again.
//!
//! A child process writes to a store on a disk whose cache loses everything that was not
//! flushed ([`rig`]). The disk loses power at a random moment, and the audit shared with
//! the kill test looks for the acknowledged writes. The same rig without the sync must find
//! losses, or it would prove nothing.
//!
//! **Invariant:** a run that lost or tore a write never ends with exit code 0.

mod rig;

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use store::{Error, Options};
use tempfile::TempDir;
use testkit::crash::{Ack, Victim, audit_copy, load};

use crate::table::{self, ReportTable};
use rig::PowerCutRig;

/// Cut the power under a loaded store and count lost writes (needs root).
#[derive(Parser)]
pub(crate) struct Args {
    /// How many times the power is cut.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    cuts: u64,
    /// How many cuts a store lives through before a fresh one takes its place: young
    /// and grown ones are to be cut, and the disk has a gibibyte.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=50))]
    cuts_a_store: u64,
    /// Leave out the sync: the run must then report losses and fail.
    #[arg(long)]
    without_fdatasync: bool,
    /// Repeats the moments and the load of an earlier run, as far as time lets it.
    #[arg(long)]
    seed: Option<u64>,
    /// Where the disk's image is kept while this runs.
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// The process whose power is cut; started by `power-cut`.
#[derive(Parser)]
pub(crate) struct WriterArgs {
    dir: PathBuf,
    #[arg(long)]
    seed: u64,
    #[arg(long)]
    without_fdatasync: bool,
}

/// Writes until the disk is gone, which is how this is meant to end.
pub(crate) fn run_writer(args: WriterArgs) -> anyhow::Result<ExitCode> {
    let mut options = Options::default();
    if args.without_fdatasync {
        options.sync = |_| Ok(());
    }
    match load(&args.dir, args.seed, &options) {
        Ok(()) | Err(Error::Poisoned(_)) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(error.into()),
    }
}

/// What all cuts together did.
#[derive(Default)]
struct Totals {
    acked: usize,
    before_open: u64,
    lost: usize,
    torn: usize,
    failed: u64,
}

/// A run in progress: the disk's folder and the store that lives on it now.
struct Run {
    folder: TempDir,
    without_fdatasync: bool,
    random: StdRng,
    /// The store's folder on the disk.
    name: String,
    /// All that this store has acknowledged.
    acked: Vec<Ack>,
    sum: Totals,
}

/// Cuts, audits and prints; fails when anything was lost, torn or unopenable.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    rig::check()?;
    let seed = args.seed.unwrap_or_else(rand::random);
    anstream::println!("seed {seed}");
    let root = args.dir.unwrap_or_else(std::env::temp_dir);
    let folder = tempfile::tempdir_in(&root)
        .with_context(|| format!("cannot make a folder in {}", root.display()))?;
    rig::format(folder.path())?;
    let mut run = Run {
        folder,
        without_fdatasync: args.without_fdatasync,
        random: StdRng::seed_from_u64(seed),
        name: String::new(),
        acked: Vec::new(),
        sum: Totals::default(),
    };
    let mut fresh = true;
    for cut in 1..=args.cuts {
        if fresh {
            run.name = format!("store-{cut}");
            run.acked.clear();
        }
        let moment = run.load_and_cut()?;
        let (found, whole) = run.audit()?;
        let (cuts, name) = (args.cuts, &run.name);
        anstream::println!("cut {cut:>3} of {cuts}, {name}: {moment}; {found}");
        fresh = !whole || cut % args.cuts_a_store == 0;
    }
    report(args.cuts, &run.sum)
}

impl Run {
    /// Cuts the power under a loaded store, repairs the file system and describes both.
    fn load_and_cut(&mut self) -> anyhow::Result<String> {
        let mut rig = PowerCutRig::up(self.folder.path())?;
        rig.keep_only(&self.name)?;
        let mut writer = Command::new(std::env::current_exe()?);
        writer
            .arg("power-cut-writer")
            .arg(rig.mounted().join(&self.name))
            .arg(format!("--seed={}", self.random.random::<u64>()));
        if self.without_fdatasync {
            writer.arg("--without-fdatasync");
        }
        let mut victim = Victim::spawn(writer)?;
        // One cut in four falls into the recovery from the cut before. The time
        // is the variable of this test, so it is slept away.
        if self.random.random_bool(0.25) {
            std::thread::sleep(Duration::from_micros(self.random.random_range(0..60_000)));
        } else {
            victim
                .wait_until_open()
                .context("the store did not open after a cut")?;
            std::thread::sleep(Duration::from_millis(self.random.random_range(50..1_500)));
        }
        rig.cut()?;
        let (said, opened) = victim.kill()?;
        rig.down()?;
        let new = said.len();
        self.acked.extend(said);
        self.sum.acked += new;
        self.sum.before_open += u64::from(!opened);
        let when = if opened { "under load" } else { "while opening" };
        let ext4 = rig::fsck(self.folder.path())?;
        Ok(format!("{when}, ext4 {ext4}, {new} newly acknowledged"))
    }

    /// Audits the store once the disk is powered again: the findings, and whether the store
    /// can be used on.
    fn audit(&mut self) -> anyhow::Result<(String, bool)> {
        let rig = PowerCutRig::up(self.folder.path())?;
        let dir = rig.mounted().join(&self.name);
        if !dir.exists() && self.acked.is_empty() {
            rig.down()?;
            return Ok(("cut before its folder was on disk".into(), true));
        }
        let audit = audit_copy(&dir, self.folder.path(), &self.acked);
        rig.down()?;
        Ok(match audit {
            Ok(audit) => {
                self.sum.lost += audit.lost;
                self.sum.torn += audit.torn.len();
                (audit.to_string(), audit.is_clean())
            }
            Err(error) => {
                self.sum.lost += self.acked.len();
                self.sum.failed += 1;
                (format!("it does not open: {error}"), false)
            }
        })
    }
}

fn report(cuts: u64, sum: &Totals) -> anyhow::Result<ExitCode> {
    let mut table = ReportTable::default();
    table
        .section("Power cuts")
        .count("cuts", cuts)
        .count("of them before the store was open", sum.before_open)
        .count("acknowledged transactions", sum.acked as u64)
        .verdict(
            sum.lost == 0,
            &format!("{} acknowledged transactions lost", sum.lost),
        )
        .verdict(
            sum.torn == 0,
            &format!("{} contradictions between tables", sum.torn),
        )
        .verdict(
            sum.failed == 0,
            &format!("{} stores that did not open", sum.failed),
        );
    table.print()?;
    let kept = sum.lost == 0 && sum.torn == 0 && sum.failed == 0;
    Ok(table::exit(kept))
}
