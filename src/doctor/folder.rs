//! The data folder: owners, permissions of secrets, and the age of the last backup.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chassis::backup_state::{self, BackupState};
use indicatif::HumanDuration;
use model::Time;
use rustix::process::geteuid;

use super::{ExaminedShop, Remark};

/// A backup older than this is too old.
const BACKUP_AGE_MAX: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// Entries of a data folder that may belong to others: the owner's files, and a file system's.
const OF_OTHERS: [&str; 4] = ["konbini.toml", "synonyms.txt", "templates", "lost+found"];

/// Files and folders that others than the owner can read.
const OTHERS: u32 = 0o077;

/// The user of the shop can change all of its files, and others cannot enter.
pub(super) fn owners(examined: &ExaminedShop) -> Vec<Remark> {
    let data = examined.folder.path();
    let Ok(of_folder) = fs::metadata(data) else {
        let advice = "run this as the user of the shop";
        return vec![Remark::problem(
            format!("{} cannot be read", data.display()),
            advice,
        )];
    };
    let mut files = Vec::new();
    collect(data, &mut files);
    let of_others = OF_OTHERS.map(|name| data.join(name));
    files.retain(|(path, _)| !of_others.iter().any(|other| path.starts_with(other)));
    let owned = files
        .iter()
        .map(|(path, meta)| (path.as_path(), meta.uid()));
    let user = geteuid().as_raw();
    judge_owners(data, (of_folder.uid(), of_folder.mode()), user, owned)
}

fn judge_owners<'a>(
    data: &Path,
    (owner, mode): (u32, u32),
    user: u32,
    files: impl Iterator<Item = (&'a Path, u32)>,
) -> Vec<Remark> {
    let mut remarks = Vec::new();
    let name = data.display();
    let foreign: Vec<_> = files.filter(|(_, uid)| *uid != owner).collect();
    if let Some((path, uid)) = foreign.first() {
        let what = format!(
            "{} files belong to others than the folder's owner: {} to the user with id {uid}",
            foreign.len(),
            path.display(),
        );
        let advice = format!("give them back: chown -R --reference={name} {name}");
        remarks.push(Remark::problem(what, advice));
    }
    if mode & OTHERS != 0 {
        let what = format!("{name} has mode {:04o}: others can enter it", mode & 0o7777);
        remarks.push(Remark::warning(what, format!("chmod 0700 {name}")));
    }
    if user != owner && user != 0 {
        let what = format!("{name} belongs to the user with id {owner}, and you are {user}");
        let advice =
            "run this as that user, to see all of it: `runuser -u NAME -- konbini doctor …`";
        remarks.push(Remark::warning(what, advice));
    }
    if remarks.is_empty() {
        remarks.push(Remark::ok(format!(
            "all files belong to the user with id {owner}"
        )));
    }
    remarks
}

/// The entries below a folder that can be read; links are not followed.
fn collect(folder: &Path, into: &mut Vec<(PathBuf, Metadata)>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(meta) = entry.metadata() else { continue };
        let path = entry.path();
        if meta.is_dir() {
            collect(&path, into);
        }
        // A link may lead to a file that is not the shop's, such as its settings in /etc.
        if !meta.is_symlink() {
            into.push((path, meta));
        }
    }
}

/// Secrets can be read by their owner alone.
pub(super) fn secrets(examined: &ExaminedShop) -> Vec<Remark> {
    let mut files = Vec::new();
    collect(examined.folder.path(), &mut files);
    files.retain(|(path, _)| path.extension().is_some_and(|kind| kind == "secret"));
    let settings = examined.folder.config_file();
    for path in examined.config.secret_files(&settings) {
        if let Ok(meta) = fs::metadata(path) {
            files.push((path.to_owned(), meta));
        }
    }
    let modes = files
        .iter()
        .map(|(path, meta)| (path.as_path(), meta.mode()));
    judge_secrets(modes)
}

fn judge_secrets<'a>(files: impl Iterator<Item = (&'a Path, u32)>) -> Vec<Remark> {
    let mut count = 0_usize;
    let mut remarks = Vec::new();
    for (path, mode) in files {
        count += 1;
        let name = path.display();
        // A group may be trusted with a file outside of the data folder, such as ssl-cert.
        let (others, group) = (mode & 0o007, mode & 0o070);
        let what = format!("{name} has mode {:04o}", mode & 0o7777);
        if others != 0 {
            let what = format!("{what}: every user of this host can read it");
            let advice =
                format!("chmod 0600 {name}, and make the secret anew if others log in here");
            remarks.push(Remark::problem(what, advice));
        } else if group != 0 {
            let what = format!("{what}: its group can read it");
            remarks.push(Remark::warning(what, format!("chmod 0600 {name}")));
        }
    }
    if remarks.is_empty() {
        remarks.push(Remark::ok(format!(
            "{count} files, each readable to its owner alone"
        )));
    }
    remarks
}

/// There is a backup, and it is recent.
pub(super) fn backups(examined: &ExaminedShop) -> Vec<Remark> {
    let mut remarks = vec![judge_backups(
        &backup_state::read(&examined.folder),
        model::now(),
    )];
    if examined.folder.is_quiet() {
        let file = examined.folder.path().join(chassis::folder::QUIET);
        let what = "no mail and no webhook is delivered: this is a copy that is only looked at";
        let advice = format!("once this is the shop, remove {}", file.display());
        remarks.push(Remark::warning(what, advice));
    }
    remarks
}

fn judge_backups(state: &BackupState, now: Time) -> Remark {
    let advice = "make one every day, to another disk or host: `konbini backup DEST`";
    if state.failed_at.is_some() {
        let why = state.error.as_deref().unwrap_or("no reason was noted");
        return Remark::problem(format!("the last one failed: {why}"), advice);
    }
    let Some(at) = state.succeeded_at else {
        return Remark::warning("there is none", advice);
    };
    let age = now.since(at);
    let what = format!("the last one is {} old", HumanDuration(age));
    match age > BACKUP_AGE_MAX {
        true => Remark::warning(what, advice),
        false => Remark::ok(what),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict::{Ok as Well, Problem, Warning};
    use super::*;

    #[test]
    fn bad_folders_are_noticed() {
        let owners = |of_folder, user, uid| {
            let files = [(Path::new("data/users/store"), uid)];
            judge_owners(Path::new("data"), of_folder, user, files.into_iter())
        };
        let secret = |mode| judge_secrets([(Path::new("a.secret"), mode)].into_iter());
        let day = 24 * 3_600_000;
        let backup = |state: BackupState| vec![judge_backups(&state, Time(10 * day))];
        let succeeded = |at| BackupState { succeeded_at: Some(Time(at)), ..BackupState::default() };
        let failed = BackupState { failed_at: Some(Time(0)), ..succeeded(9 * day) };
        for (case, remarks, verdict) in [
            ("well", owners((7, 0o40700), 7, 7), Well),
            ("a file of root's", owners((7, 0o40700), 7, 0), Problem),
            ("open to all", owners((7, 0o40755), 7, 7), Warning),
            ("another user", owners((7, 0o40700), 8, 7), Warning),
            ("root looks", owners((7, 0o40700), 0, 7), Well),
            ("a private secret", secret(0o100_600), Well),
            ("a secret for all", secret(0o100_644), Problem),
            ("a secret for a group", secret(0o100_640), Warning),
            ("no backup", backup(BackupState::default()), Warning),
            ("of yesterday", backup(succeeded(9 * day)), Well),
            ("of last week", backup(succeeded(3 * day)), Warning),
            ("failed", backup(failed), Problem),
        ] {
            assert_eq!(remarks[0].verdict, verdict, "{case}: {remarks:?}");
            assert_eq!(remarks.len(), 1, "{case}: {remarks:?}");
        }
    }
}
