//! A control group (cgroups(7)) that bounds what processes may use of this host: version 2, or
//! the controllers `cpu` and `memory` of version 1.
//!
//! **Invariant:** a group is removed when it is dropped, once its processes have ended, and what
//! bounds this process bounds them, too.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Where the system mounts the groups.
const ROOT: &str = "/sys/fs/cgroup";
/// The groups of this process, a hierarchy a line.
const MEMBERSHIP: &str = "/proc/self/cgroup";
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
        Self::below(Path::new(ROOT), &fs::read_to_string(MEMBERSHIP)?, bounds)
    }

    fn below(root: &Path, membership: &str, bounds: &GroupBounds) -> io::Result<Self> {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("konbini-{}-{number}", std::process::id());
        let quota_us = (bounds.cores * PERIOD_US as f64).round();
        let memory = bounds.memory_bytes.to_string();
        let mut group = Self { folders: Vec::new() };
        if root.join("cgroup.controllers").exists() {
            // A controller has to be passed on before a group below can have it, and only a
            // group without processes passes it on: the new group stands beside that of this
            // process.
            let own = own_group(membership, "");
            let parent = root.join(own.parent().unwrap_or(own));
            fs::write(parent.join("cgroup.subtree_control"), "+cpu +memory")?;
            let folder = group.add_folder(parent.join(&name))?;
            fs::write(folder.join("cpu.max"), format!("{quota_us} {PERIOD_US}"))?;
            fs::write(folder.join("memory.max"), memory)?;
        } else {
            let own = |controller| {
                root.join(controller)
                    .join(own_group(membership, controller))
            };
            let folder = group.add_folder(own("cpu").join(&name))?;
            fs::write(folder.join("cpu.cfs_period_us"), PERIOD_US.to_string())?;
            fs::write(folder.join("cpu.cfs_quota_us"), quota_us.to_string())?;
            let folder = group.add_folder(own("memory").join(&name))?;
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

/// The group of this process in the hierarchy of `controller`, relative to where that is mounted;
/// version 2 has one hierarchy, without a controller's name (cgroups(7), `/proc/PID/cgroup`).
fn own_group<'a>(membership: &'a str, controller: &str) -> &'a Path {
    let group = membership.lines().find_map(|line| {
        let (_, of_hierarchy) = line.split_once(':')?;
        let (controllers, group) = of_hierarchy.split_once(':')?;
        let is_asked = controllers.split(',').any(|one| one == controller);
        is_asked.then_some(group)
    });
    Path::new(group.unwrap_or_default().trim_start_matches('/'))
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
    use std::process::{Command, Stdio};

    use super::*;

    const BOUNDS: GroupBounds = GroupBounds { cores: 0.8, memory_bytes: 1 << 30 };
    const SECOND: &str = "0::/shops/tests\n";
    const FIRST: &str = "3:memory:/container\n2:cpu,cpuacct:/\n0::/elsewhere\n";

    /// A folder with these files and folders, empty.
    fn mounted(files: &[&str], folders: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for folder in folders {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        for file in files {
            fs::write(root.path().join(file), "").unwrap();
        }
        root
    }

    /// What files of the group made below `root` contain once it has a process; each is named
    /// by the group's parent and the file.
    fn written(root: &Path, membership: &str, files: &[(&str, &str)]) -> Vec<String> {
        let group = ControlGroup::below(root, membership, &BOUNDS).unwrap();
        group.add(42).unwrap();
        let contained = |(parent, file): &(&str, &str)| {
            let is_below = |folder: &&PathBuf| folder.parent() == Some(&*root.join(parent));
            let folder = group.folders.iter().find(is_below).unwrap();
            fs::read_to_string(folder.join(file)).unwrap()
        };
        files.iter().map(contained).collect()
    }

    #[test]
    fn both_versions_get_the_same_bounds_within_those_of_this_process() {
        let second = mounted(&["cgroup.controllers"], &["shops/tests"]);
        let files = ["cpu.max", "memory.max", "cgroup.procs"].map(|file| ("shops", file));
        let expected = ["80000 100000", "1073741824", "42"];
        assert_eq!(written(second.path(), SECOND, &files), expected);

        let first = mounted(&[], &["cpu", "memory/container"]);
        let files = [
            ("cpu", "cpu.cfs_quota_us"),
            ("cpu", "cgroup.procs"),
            ("memory/container", "memory.limit_in_bytes"),
            ("memory/container", "cgroup.procs"),
        ];
        let expected = ["80000", "42", "1073741824", "42"];
        assert_eq!(written(first.path(), FIRST, &files), expected);
    }

    #[test]
    fn a_system_without_groups_refuses() {
        let root = tempfile::tempdir().unwrap();
        let error = ControlGroup::below(root.path(), FIRST, &BOUNDS).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }

    /// The groups of the host that runs the test: either one holds a process and goes with it,
    /// or the system's refusal says why there is none.
    #[test]
    fn a_group_of_this_host_holds_a_process_until_it_ends() {
        let group = match ControlGroup::new(&BOUNDS) {
            Ok(group) => group,
            Err(error) => {
                let refusal = error.kind();
                let (missing, denied) = (ErrorKind::NotFound, ErrorKind::PermissionDenied);
                let (fixed, busy) = (ErrorKind::ReadOnlyFilesystem, ErrorKind::ResourceBusy);
                assert!([missing, denied, fixed, busy].contains(&refusal), "{error}");
                return;
            }
        };
        // It ends with its standard input, also when the test fails.
        let mut process = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        group.add(process.id()).unwrap();
        let folders = group.folders.clone();
        for folder in &folders {
            let members = fs::read_to_string(folder.join("cgroup.procs")).unwrap();
            assert_eq!(members.trim(), process.id().to_string());
        }
        let bounds: Vec<String> = folders
            .iter()
            .flat_map(|folder| {
                let files = [
                    "cpu.max",
                    "cpu.cfs_quota_us",
                    "memory.max",
                    "memory.limit_in_bytes",
                ];
                files.map(|file| folder.join(file))
            })
            .filter_map(|file| fs::read_to_string(file).ok())
            .map(|text| {
                text.split_whitespace()
                    .next()
                    .unwrap_or_default()
                    .to_owned()
            })
            .collect();
        assert_eq!(bounds, ["80000", "1073741824"]);

        drop(process.stdin.take());
        assert!(process.wait().unwrap().success());
        drop(group);
        assert!(folders.iter().all(|folder| !folder.exists()));
    }
}
