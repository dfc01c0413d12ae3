//! A disk whose power can be cut: ext4 on a loop device on `nbdfuse` on `nbdkit`.
//!
//! nbdkit's write-back cache plays the volatile cache of a real disk: unflushed
//! data lives in nbdkit alone, and is lost with it. Unlike killing a virtual
//! machine, this also catches a program that never asks the disk to flush.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

const IMAGE_BYTES: u64 = 1024 * 1024 * 1024;

/// Reached only when a tool of the rig hangs.
const DEADLINE: Duration = Duration::from_secs(20);

/// What the rig runs, and the Debian package that has it.
const TOOLS: [(&str, &str); 7] = [
    ("nbdkit", "nbdkit"),
    ("nbdfuse", "nbdfuse"),
    ("fusermount3", "fuse3"),
    ("mke2fs", "e2fsprogs"),
    ("e2fsck", "e2fsprogs"),
    ("losetup", "mount"),
    ("mount", "mount"),
];

/// Whether this machine can run the rig.
///
/// # Errors
/// When a tool or device is missing, with the remedy.
pub(super) fn check() -> anyhow::Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "the power-cut rig mounts a file system: run it as root"
    );
    let folders = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    let here = |tool: &str| {
        folders
            .iter()
            .any(|folder| Path::new(folder).join(tool).exists())
    };
    let mut packages: Vec<_> = TOOLS.iter().filter(|(tool, _)| !here(tool)).collect();
    packages.dedup_by_key(|(_, package)| *package);
    if !packages.is_empty() {
        let packages: Vec<_> = packages.iter().map(|(_, package)| *package).collect();
        bail!(
            "the power-cut rig needs Debian packages that are not here: apt-get install {}",
            packages.join(" ")
        );
    }
    for device in ["/dev/fuse", "/dev/loop-control"] {
        ensure!(
            Path::new(device).exists(),
            "the power-cut rig needs {device}, which this kernel or container does not offer"
        );
    }
    Ok(())
}

/// Makes the disk's image in `folder`, with an empty file system.
///
/// # Errors
/// When the disk is full or `mke2fs` fails.
pub(super) fn format(folder: &Path) -> anyhow::Result<()> {
    let image = folder.join("disk.img");
    fs::File::create(&image)?.set_len(IMAGE_BYTES)?;
    // Nothing is left to be initialised later, which would write beside the load.
    let lazy = "lazy_itable_init=0,lazy_journal_init=0";
    said(
        Command::new("mke2fs")
            .args(["-q", "-F", "-t", "ext4", "-E", lazy])
            .arg(image),
    )?;
    Ok(())
}

/// Checks the image's file system, repairing what can be without asking; whether
/// it was clean or repaired.
///
/// # Errors
/// When it is damaged beyond that.
pub(super) fn fsck(folder: &Path) -> anyhow::Result<&'static str> {
    let mut e2fsck = Command::new("e2fsck");
    let out = e2fsck.arg("-fp").arg(folder.join("disk.img")).output()?;
    match out.status.code() {
        Some(0) => Ok("clean"),
        Some(1) => Ok("repaired"),
        _ => bail!(
            "ext4 did not survive: {}",
            String::from_utf8_lossy(&out.stdout)
        ),
    }
}

/// The disk, powered and mounted. Dropping it takes everything down.
pub(super) struct PowerCutRig {
    folder: PathBuf,
    nbdkit: Child,
    nbdfuse: Option<Child>,
    loop_device: Option<String>,
}

impl PowerCutRig {
    /// Powers up the image in `folder` and mounts it.
    ///
    /// # Errors
    /// When a tool fails, with what it said.
    pub(super) fn up(folder: &Path) -> anyhow::Result<Self> {
        let (socket, fuse, mnt) = (folder.join("nbd"), folder.join("fuse"), folder.join("mnt"));
        fs::create_dir_all(&fuse)?;
        fs::create_dir_all(&mnt)?;
        let _ = fs::remove_file(&socket);
        let mut nbdkit = Command::new("nbdkit");
        nbdkit.args(["-f", "--filter=cache", "file", "cache=writeback"]);
        nbdkit.arg(format!("file={}", folder.join("disk.img").display()));
        // The cache itself is a file that nbdkit makes here and forgets.
        nbdkit.arg("-U").arg(&socket).env("TMPDIR", folder);
        let mut rig = Self {
            folder: folder.to_owned(),
            nbdkit: daemon(nbdkit)?,
            nbdfuse: None,
            loop_device: None,
        };
        appears(&socket)?;
        let mut nbdfuse = Command::new("nbdfuse");
        nbdfuse.arg(&fuse).arg("--unix").arg(&socket);
        rig.nbdfuse = Some(daemon(nbdfuse)?);
        let disk = fuse.join("nbd");
        appears(&disk)?;
        let device = said(Command::new("losetup").args(["-f", "--show"]).arg(disk))?;
        rig.loop_device = Some(device.clone());
        said(Command::new("mount").args(["-t", "ext4", &device]).arg(mnt))?;
        Ok(rig)
    }

    /// Where the disk is mounted.
    pub(super) fn mounted(&self) -> PathBuf {
        self.folder.join("mnt")
    }

    /// Removes every store but this one.
    ///
    /// # Errors
    /// When a folder cannot be removed.
    pub(super) fn keep_only(&self, name: &str) -> anyhow::Result<()> {
        for entry in fs::read_dir(self.mounted())? {
            let entry = entry?;
            let found = entry.file_name();
            if found != name && found.to_string_lossy().starts_with("store-") {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }

    /// Cuts the power: unflushed data is lost.
    ///
    /// # Errors
    /// When nbdkit had ended before.
    pub(super) fn cut(&mut self) -> anyhow::Result<()> {
        ensure!(
            self.nbdkit.try_wait()?.is_none(),
            "the disk had died by itself"
        );
        self.nbdkit.kill()?;
        self.nbdkit.wait()?;
        Ok(())
    }

    /// Unmounts and takes everything down, after a cut or in good order.
    ///
    /// # Errors
    /// When the mount does not go away.
    pub(super) fn down(mut self) -> anyhow::Result<()> {
        self.take_down()
    }

    fn take_down(&mut self) -> anyhow::Result<()> {
        let Some(device) = self.loop_device.take() else {
            return self.stop_daemons();
        };
        let mnt = self.mounted();
        // A dead disk cannot be written to, so it may take the lazy way.
        let unmounted = said(Command::new("umount").arg(&mnt))
            .or_else(|_| said(Command::new("umount").arg("-l").arg(&mnt)));
        let detached = said(Command::new("losetup").args(["-d", &device]));
        self.stop_daemons()?;
        unmounted.and(detached).map(drop)
    }

    fn stop_daemons(&mut self) -> anyhow::Result<()> {
        if let Some(mut nbdfuse) = self.nbdfuse.take() {
            let fuse = self.folder.join("fuse");
            said(Command::new("fusermount3").arg("-uz").arg(fuse))?;
            let deadline = Instant::now() + DEADLINE;
            while nbdfuse.try_wait()?.is_none() {
                if Instant::now() > deadline {
                    nbdfuse.kill()?;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        // Asked to end, not killed: that is what a cut is.
        if self.nbdkit.try_wait()?.is_none() {
            let pid = rustix::process::Pid::from_child(&self.nbdkit);
            rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
            self.nbdkit.wait()?;
        }
        Ok(())
    }
}

impl Drop for PowerCutRig {
    fn drop(&mut self) {
        if let Err(error) = self.take_down() {
            anstream::eprintln!("the power-cut rig was not taken down whole: {error:#}");
        }
    }
}

/// Starts a tool that stays, out of reach of the terminal's signals.
fn daemon(mut command: Command) -> anyhow::Result<Child> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {command:?}"))
}

fn appears(path: &Path) -> anyhow::Result<()> {
    let deadline = Instant::now() + DEADLINE;
    while !path.exists() {
        ensure!(
            Instant::now() < deadline,
            "{} did not appear",
            path.display()
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Runs a tool to its end; its output, or an error with its complaint.
fn said(command: &mut Command) -> anyhow::Result<String> {
    let out = command
        .output()
        .with_context(|| format!("cannot run {command:?}"))?;
    ensure!(
        out.status.success(),
        "{command:?} failed: {}",
        String::from_utf8_lossy(&out.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned())
}
