//! The file system of the data folder: room, kind, and how long a sync takes.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::HumanBytes;
use rustix::fs::{major, minor, statfs};

use super::{ExaminedShop, Remark};

const MIB: u64 = 1024 * 1024;

/// With less, writes are refused.
const FULL_BYTES: u64 = 64 * MIB;
const SCARCE_BYTES: u64 = 512 * MIB;

/// The syncs that are measured, and the medians from which on they are slow: every write of a
/// customer waits for one.
const SYNCS: usize = 9;
const SLOW: Duration = Duration::from_millis(30);
const VERY_SLOW: Duration = Duration::from_millis(250);

/// File systems by the magic numbers of statfs(2) that a shop should not lie on.
const KINDS: [(u64, &str, Trouble); 12] = [
    (0x0102_1994, "tmpfs", Trouble::Volatile),
    (0x8584_58f6, "ramfs", Trouble::Volatile),
    (0x794c_7630, "an overlay of a container", Trouble::Container),
    (0x4d44, "FAT", Trouble::Foreign),
    (0x2011_bab0, "exFAT", Trouble::Foreign),
    (0x7366_746e, "NTFS", Trouble::Foreign),
    (0x6969, "NFS", Trouble::Network),
    (0xff53_4d42, "SMB", Trouble::Network),
    (0xfe53_4d42, "SMB", Trouble::Network),
    (0x517b, "SMB", Trouble::Network),
    (0x0102_1997, "9p", Trouble::Network),
    (0x6573_5546, "FUSE", Trouble::Unknown),
];

#[derive(Debug, Clone, Copy)]
enum Trouble {
    Volatile,
    Container,
    Foreign,
    Network,
    Unknown,
}

/// There is room on the disk.
pub(super) fn space(examined: &ExaminedShop) -> Vec<Remark> {
    let remark = match statfs(examined.folder.path()) {
        Ok(fs) => {
            let block = u64::try_from(fs.f_bsize).unwrap_or(0);
            judge_space(
                fs.f_bavail.saturating_mul(block),
                fs.f_blocks.saturating_mul(block),
            )
        }
        Err(error) => unreadable(examined, error.into()),
    };
    vec![remark]
}

fn unreadable(examined: &ExaminedShop, error: io::Error) -> Remark {
    let what = format!("{}: {error}", examined.folder.path().display());
    Remark::problem(
        what,
        "run this as the user of the shop; else look at the disk",
    )
}

fn judge_space(free: u64, total: u64) -> Remark {
    let what = format!("{} of {} are free", HumanBytes(free), HumanBytes(total));
    let advice = "make room, or move the data folder to a larger disk";
    match free {
        ..FULL_BYTES => Remark::problem(format!("{what}: writes are refused"), advice),
        FULL_BYTES..SCARCE_BYTES => Remark::warning(what, advice),
        _ => Remark::ok(what),
    }
}

/// The file system keeps what a shop needs.
pub(super) fn kind(examined: &ExaminedShop) -> Vec<Remark> {
    let path = examined.folder.path();
    let magic = match statfs(path) {
        // The number is of 32 bits, in a field that some hosts sign.
        Ok(fs) => fs.f_type as u64 & 0xffff_ffff,
        Err(error) => return vec![unreadable(examined, error.into())],
    };
    vec![judge_kind(magic, is_memory_card(path))]
}

fn judge_kind(magic: u64, is_memory_card: bool) -> Remark {
    let known = KINDS.iter().find(|(known, ..)| *known == magic);
    if let Some((_, name, trouble)) = known {
        let what = format!("the data folder is on {name}");
        return match trouble {
            Trouble::Volatile => Remark::problem(
                format!("{what}: all data is gone after a reboot"),
                "move it to a disk",
            ),
            Trouble::Container => Remark::problem(
                format!("{what}: all data is gone with the container"),
                "mount a volume at the data folder",
            ),
            Trouble::Foreign => Remark::problem(
                format!("{what}, which has no permissions and no sockets"),
                "move it to a disk with a file system of Linux, such as ext4",
            ),
            Trouble::Network => Remark::warning(
                format!("{what}: a lock or a sync may mean nothing there"),
                "move it to a disk of this host, and back it up to the network",
            ),
            Trouble::Unknown => Remark::warning(
                format!("{what}: whether a sync means anything depends on its program"),
                "move it to a disk with a file system of the kernel's, such as ext4",
            ),
        };
    }
    match is_memory_card {
        true => Remark::ok(
            "the data folder is on a memory card, which wears out; back it up to another host",
        ),
        false => Remark::ok("the data folder is on a disk of this host"),
    }
}

/// Whether the disk of a file is an SD card or eMMC.
fn is_memory_card(path: &Path) -> bool {
    let device = fs::metadata(path)
        .map(|meta| meta.dev())
        .unwrap_or_default();
    let link = format!("/sys/dev/block/{}:{}", major(device), minor(device));
    let target = fs::canonicalize(link).unwrap_or_default();
    target.to_string_lossy().contains("/mmcblk")
}

/// A sync takes no longer than customers wait.
pub(super) fn sync(examined: &ExaminedShop) -> Vec<Remark> {
    let remark = match measure(examined.folder.path()) {
        Ok(times) => judge_sync(times),
        Err(error) => unreadable(examined, error),
    };
    vec![remark]
}

/// The times of a few syncs of a file that grows, as a journal does.
fn measure(folder: &Path) -> io::Result<Vec<Duration>> {
    let path = folder.join(format!(".doctor-{}", std::process::id()));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)?;
    let mut measured = || {
        let mut times = Vec::new();
        for _ in 0..SYNCS {
            let begun = Instant::now();
            file.write_all(&[0; 4096])?;
            file.sync_data()?;
            times.push(begun.elapsed());
        }
        Ok(times)
    };
    let times = measured();
    fs::remove_file(&path)?;
    times
}

fn judge_sync(mut times: Vec<Duration>) -> Remark {
    times.sort();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    let what = format!("a sync takes {:.1} ms", median.as_secs_f64() * 1_000.0);
    let advice = "use a faster disk: each write of a customer waits for one";
    if median >= VERY_SLOW {
        Remark::problem(what, advice)
    } else if median >= SLOW {
        Remark::warning(what, advice)
    } else {
        Remark::ok(what)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict::{Ok as Well, Problem, Warning};
    use super::*;

    #[test]
    fn bad_disks_are_noticed() {
        let millis = |millis: [u64; 3]| millis.map(Duration::from_millis).to_vec();
        for (case, remark, verdict) in [
            ("full", judge_space(63 * MIB, 1024 * MIB), Problem),
            ("nearly full", judge_space(64 * MIB, 1024 * MIB), Warning),
            ("half full", judge_space(512 * MIB, 1024 * MIB), Well),
            ("tmpfs", judge_kind(0x0102_1994, false), Problem),
            ("FAT", judge_kind(0x4d44, true), Problem),
            ("overlay", judge_kind(0x794c_7630, false), Problem),
            ("NFS", judge_kind(0x6969, false), Warning),
            ("FUSE", judge_kind(0x6573_5546, false), Warning),
            ("ext4", judge_kind(0xef53, false), Well),
            ("ext4 on a card", judge_kind(0xef53, true), Well),
            ("one hiccup", judge_sync(millis([1, 900, 1])), Well),
            ("a slow card", judge_sync(millis([90, 40, 2])), Warning),
            ("a dying disk", judge_sync(millis([400, 300, 800])), Problem),
        ] {
            assert_eq!(remark.verdict, verdict, "{case}: {remark:?}");
        }
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(measure(folder.path()).unwrap().len(), SYNCS);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
