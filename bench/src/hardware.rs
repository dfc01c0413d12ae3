//! The shops that scenarios boot, and the hardware they are given: a small host's share of
//! this one, and a disk whose syncs are slow.
//!
//! A share bounds processor time and memory by a control group. It is not the other host: a
//! thread runs at this host's speed until the share is spent, and caches and buses are this
//! host's. **Invariant:** a result says what hardware it was measured on.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use clap::ValueEnum;
use testkit::cgroup::{ControlGroup, GroupBounds};
use testkit::shop::Shop;

/// The library that slows syncs down.
const SLOW_SYNC: &str = include_str!("slow_sync.c");
const MIB: u64 = 1024 * 1024;

/// The hardware of shops that this program boots.
#[derive(clap::Args, Clone, Copy, Debug, Default)]
pub(crate) struct HardwareArgs {
    /// Give the shop no more of this host than a small one has, where control groups can be
    /// made.
    #[arg(long, value_enum)]
    limit: Option<SmallHost>,

    /// Make each sync of the shop's files take so many milliseconds more, as on an SD card;
    /// needs a C compiler.
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u16).range(1..=1000))]
    slow_sync: Option<u16>,
}

/// The shop that a scenario boots itself.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct OwnShopArgs {
    /// The shop's binary; the `konbini` beside this program unless given.
    #[arg(long)]
    pub(crate) binary: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) hardware: HardwareArgs,
}

/// A host that people run shops on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SmallHost {
    /// A Raspberry Pi 3: 4 cores, each about a fifth of a server's, and 1 GiB
    Pi3,
    /// A Raspberry Pi 4: 4 cores, each about two fifths of a server's, and 2 GiB
    Pi4,
    /// The smallest virtual machine that is rented out: 1 core and 512 MiB
    Vm512,
}

impl SmallHost {
    /// The shares of cores are estimates, by single-thread scores of public benchmarks.
    fn bounds(self) -> GroupBounds {
        let (cores, mib) = match self {
            Self::Pi3 => (4.0 * 0.2, 1024),
            Self::Pi4 => (4.0 * 0.4, 2048),
            Self::Vm512 => (1.0, 512),
        };
        GroupBounds { cores, memory_bytes: mib * MIB }
    }
}

impl OwnShopArgs {
    /// A closed shop of the binary on the hardware.
    pub(crate) fn shop(&self) -> anyhow::Result<Shop> {
        self.hardware.shop(self.binary.clone())
    }

    /// The same as arguments of another scenario.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let HardwareArgs { limit, slow_sync } = self.hardware;
        let limit = limit.and_then(|limit| limit.to_possible_value());
        [
            self.binary_argument(),
            limit.map(|limit| format!("--limit={}", limit.get_name())),
            slow_sync.map(|ms| format!("--slow-sync={ms}")),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// The binary as an argument of another scenario.
    pub(crate) fn binary_argument(&self) -> Option<String> {
        let binary = self.binary.as_ref()?;
        Some(format!("--binary={}", binary.display()))
    }
}

impl HardwareArgs {
    /// A closed shop of `binary`, or of the `konbini` beside this program, on the hardware.
    /// Where no control group can be made, a notice says so and the shop has the whole host.
    ///
    /// # Errors
    /// When there is no such binary, or syncs cannot be slowed down.
    pub(crate) fn shop(self, binary: Option<PathBuf>) -> anyhow::Result<Shop> {
        let mut shop = Shop::new(binary)?;
        if let Some(milliseconds) = self.slow_sync {
            let library = shop.data().with_file_name("slow_sync.so");
            compile(&library)?;
            shop.set_variable("LD_PRELOAD", &library.to_string_lossy());
            shop.set_variable("SLOW_SYNC_MS", &milliseconds.to_string());
        }
        if let Some(limit) = self.limit {
            let group = ControlGroup::new(&limit.bounds());
            if let Err(notice) = confine(&mut shop, group) {
                anstream::eprintln!("{notice}");
            }
        }
        Ok(shop)
    }

    /// What a result says of the hardware that `shop` has; `None` for this host as it is.
    pub(crate) fn described(self, shop: &Shop) -> Option<String> {
        let limit = self.limit.filter(|_| shop.is_confined()).map(|limit| {
            let GroupBounds { cores, memory_bytes } = limit.bounds();
            format!("{limit:?}: {cores} cores, {} MiB", memory_bytes / MIB)
        });
        let slow_sync = self.slow_sync.map(|ms| format!("syncs {ms} ms slower"));
        let parts: Vec<String> = [limit, slow_sync].into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

/// Puts the shop into the group, or says why it has the whole host instead.
fn confine(shop: &mut Shop, group: io::Result<ControlGroup>) -> Result<(), String> {
    let group = group.map_err(|error| {
        format!(
            "--limit is not in force, and the shop has the whole host: no control group can be \
             made below /sys/fs/cgroup ({error}); root may make one"
        )
    })?;
    shop.confine(group);
    Ok(())
}

/// Compiles the library that slows syncs down.
fn compile(library: &Path) -> anyhow::Result<()> {
    let mut compiler = Command::new("cc")
        .args(["-shared", "-fPIC", "-O2", "-x", "c", "-", "-ldl", "-o"])
        .arg(library)
        .stdin(Stdio::piped())
        .spawn()
        .context("--slow-sync needs a C compiler: install one as `cc`, or leave the option out")?;
    let mut input = compiler.stdin.take().context("standard input was piped")?;
    std::io::Write::write_all(&mut input, SLOW_SYNC.as_bytes())?;
    drop(input);
    ensure!(
        compiler.wait()?.success(),
        "`cc` cannot compile the library that slows syncs down"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    /// A lower bound of a pause, and so no time that a busy host could shift.
    #[test]
    fn a_slow_disk_delays_each_sync() {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("slow_sync.so");
        compile(&library).unwrap();
        let file = folder.path().join("synced");
        let mut command = Command::new("dd");
        command.args(["if=/dev/zero", "count=1", "conv=fdatasync", "status=none"]);
        command.arg(format!("of={}", file.display()));
        command
            .env("LD_PRELOAD", &library)
            .env("SLOW_SYNC_MS", "300");
        let began = Instant::now();
        assert!(command.status().unwrap().success());
        assert!(began.elapsed() >= Duration::from_millis(300));
        assert_eq!(std::fs::metadata(file).unwrap().len(), 512);
    }

    #[test]
    fn a_limit_that_cannot_be_set_is_noticed_and_not_claimed() {
        let limited = HardwareArgs { limit: Some(SmallHost::Vm512), slow_sync: None };
        let mut shop = Shop::new(Some("/bin/true".into())).unwrap();
        let refused = io::Error::from(io::ErrorKind::PermissionDenied);
        let notice = confine(&mut shop, Err(refused)).unwrap_err();
        assert!(notice.contains("not in force"), "{notice}");
        assert!(notice.contains("permission denied"), "{notice}");
        assert_eq!(limited.described(&shop), None);
    }

    /// Of the host that runs the test, whether it lets a group be made or not.
    #[test]
    fn a_result_claims_a_limit_exactly_where_one_is_in_force() {
        let limited = HardwareArgs { limit: Some(SmallHost::Vm512), slow_sync: None };
        let can_be_set = ControlGroup::new(&SmallHost::Vm512.bounds()).is_ok();
        let shop = limited.shop(Some("/bin/true".into())).unwrap();
        let claimed = can_be_set.then(|| "Vm512: 1 cores, 512 MiB".to_owned());
        assert_eq!(limited.described(&shop), claimed);
    }

    #[test]
    fn hardware_is_passed_on_as_arguments() {
        use clap::Parser as _;

        #[derive(clap::Parser)]
        struct Scenario {
            #[command(flatten)]
            shop: OwnShopArgs,
        }
        let given = ["--binary=a/konbini", "--limit=pi3", "--slow-sync=20"];
        let scenario = Scenario::try_parse_from(["it"].iter().chain(&given)).unwrap();
        assert_eq!(scenario.shop.arguments(), given);
        assert!(OwnShopArgs::default().arguments().is_empty());
    }
}
