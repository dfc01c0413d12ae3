//! A control group (cgroups(7)) that bounds what processes may use of this host: version 2, or
//! the controllers `cpu` and `memory` of version 1.
//!
//! **Invariant:** a group is removed when it is dropped, once its processes have ended.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Where the system mounts the groups.
const ROOT: &str = "/sys/fs/cgroup";
/// Of this time a group has its share, in microseconds; the kernel's own default.
const PERIOD_US: u64 = 100_000;
/// A killed process leaves its group a moment after it was waited for.
const REMOVAL_TIMEOUT: Duration = Duration::from_secs(1);
const REMOVAL_PAUSE: Duration = Duration::from_millis(10);

/// The groups that this process has made, for their names.
static MADE: AtomicU32 = AtomicU32::new(0);

/// What the processes of a group may use together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GroupBounds {
    /// Processor time, in cores; more than the host has bounds nothing.
    pub cores: f64,
    /// Memory, in bytes, the page cache of their files included.
    pub memory_bytes: u64,
}

/// A group, with a folder in each hierarchy.
#[derive(Debug)]
pub struct ControlGroup {
    folders: Vec<PathBuf>,
}

impl ControlGroup {
    /// A group without processes.
    ///
    /// # Errors
    /// When the system has no such groups, or this user may not make one.
    pub fn new(bounds: &GroupBounds) -> io::Result<Self> {
        Self::below(Path::new(ROOT), bounds)
    }

    fn below(root: &Path, bounds: &GroupBounds) -> io::Result<Self> {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("konbini-{}-{number}", std::process::id());
        let quota_us = (bounds.cores * PERIOD_US as f64).round();
        let memory = bounds.memory_bytes.to_string();
        let mut group = Self { folders: Vec::new() };
        if root.join("cgroup.controllers").exists() {
            // A controller has to be passed on before a group below can have it.
            fs::write(root.join("cgroup.subtree_control"), "+cpu +memory")?;
            let folder = group.add_folder(root.join(&name))?;
            fs::write(folder.join("cpu.max"), format!("{quota_us} {PERIOD_US}"))?;
            fs::write(folder.join("memory.max"), memory)?;
        } else {
            let folder = group.add_folder(root.join("cpu").join(&name))?;
            fs::write(folder.join("cpu.cfs_period_us"), PERIOD_US.to_string())?;
            fs::write(folder.join("cpu.cfs_quota_us"), quota_us.to_string())?;
            let folder = group.add_folder(root.join("memory").join(&name))?;
            fs::write(folder.join("memory.limit_in_bytes"), memory)?;
        }
        Ok(group)
    }

    fn add_folder(&mut self, folder: PathBuf) -> io::Result<PathBuf> {
        fs::create_dir(&folder)?;
        self.folders.push(folder.clone());
        Ok(folder)
    }

    /// Moves a process with all its threads into the group; its children begin in it.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn add(&self, pid: u32) -> io::Result<()> {
        let files = self.folders.iter().map(|it| it.join("cgroup.procs"));
        files
            .into_iter()
            .try_for_each(|file| fs::write(file, pid.to_string()))
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        let deadline = Instant::now() + REMOVAL_TIMEOUT;
        for folder in &self.folders {
            while let Err(error) = fs::remove_dir(folder)
                && error.kind() == ErrorKind::ResourceBusy
                && Instant::now() < deadline
            {
                std::thread::sleep(REMOVAL_PAUSE);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: GroupBounds = GroupBounds { cores: 0.8, memory_bytes: 1 << 30 };

    /// The bounds and the process that files below `root` have after a group was made there.
    fn written(root: &Path, files: &[&str]) -> Vec<String> {
        let group = ControlGroup::below(root, &BOUNDS).unwrap();
        group.add(42).unwrap();
        let below = |file: &&str| {
            let (hierarchy, file) = file.rsplit_once('/').unwrap_or(("", file));
            let same = |folder: &&PathBuf| folder.parent() == Some(&*root.join(hierarchy));
            let folder = group.folders.iter().find(same).unwrap();
            fs::read_to_string(folder.join(file)).unwrap()
        };
        files.iter().map(below).collect()
    }

    #[test]
    fn both_versions_get_the_same_bounds() {
        let second = tempfile::tempdir().unwrap();
        fs::write(second.path().join("cgroup.controllers"), "cpu memory").unwrap();
        let files = ["cpu.max", "memory.max", "cgroup.procs"];
        let expected = ["80000 100000", "1073741824", "42"];
        assert_eq!(written(second.path(), &files), expected);

        let first = tempfile::tempdir().unwrap();
        for controller in ["cpu", "memory"] {
            fs::create_dir(first.path().join(controller)).unwrap();
        }
        let files = [
            "cpu/cpu.cfs_quota_us",
            "cpu/cgroup.procs",
            "memory/memory.limit_in_bytes",
            "memory/cgroup.procs",
        ];
        let expected = ["80000", "42", "1073741824", "42"];
        assert_eq!(written(first.path(), &files), expected);
    }

    #[test]
    fn a_system_without_groups_refuses() {
        let root = tempfile::tempdir().unwrap();
        let error = ControlGroup::below(root.path(), &BOUNDS).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}
