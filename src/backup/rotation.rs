//! `konbini backups list` and `konbini backups prune`.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use owo_colors::OwoColorize;
use serde_json::{Value, json};

use super::archive::{self, Manifest};
use crate::output;
use crate::table::{Column, OutputFormat, OutputTable, print_json};

const COLUMNS: &[Column] = &[
    ("CREATED", 24),
    ("ROWS", 10),
    ("BYTES", 12),
    ("KEYS", 4),
    ("PATH", 0),
];

/// The days that `prune` keeps if nothing is said: a backup of each of the last two weeks'
/// days fits a memory card beside the shop.
const DAYS: usize = 14;

/// List the backups in a folder, oldest first.
#[derive(Debug, Args)]
pub(crate) struct ListBackups {
    /// The folder of the backups.
    dest: PathBuf,
    /// Print JSON documents, one per line.
    #[arg(long)]
    json: bool,
}

/// Remove old backups: of each day only the last is kept, for the last days.
///
/// The newest backup is always kept, whatever its age. What a backup that was cut off has left
/// is removed a day later.
#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// The folder of the backups.
    dest: PathBuf,
    /// The number of days with a backup that are kept.
    #[arg(long, default_value_t = DAYS, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=10_000))]
    days: usize,
    /// Say what would be removed, and remove nothing.
    #[arg(long)]
    dry_run: bool,
    /// Print a JSON document.
    #[arg(long)]
    json: bool,
}

/// Prints the backups.
pub(crate) fn list(list: &ListBackups) -> anyhow::Result<()> {
    let format = if list.json {
        OutputFormat::Json
    } else {
        OutputFormat::Text
    };
    let mut table = OutputTable::new(COLUMNS, format);
    for path in archive::backups_in(&list.dest)? {
        let manifest = Manifest::read(&path)?;
        let rows: u64 = manifest.services.values().map(|part| part.rows).sum();
        let document = json!({
            "created_at": manifest.created_at,
            "rows": rows,
            "bytes": manifest.bytes,
            "has_keys": manifest.has_keys,
            "path": path,
        });
        table.row(&document, |one| {
            let text = |name: &str| match &one[name] {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let keys = if manifest.has_keys { "yes" } else { "no" };
            vec![
                text("created_at"),
                text("rows"),
                text("bytes"),
                keys.to_owned(),
                text("path"),
            ]
        })?;
    }
    Ok(())
}

/// Removes old backups and prints which.
pub(crate) fn prune(prune: &Prune) -> anyhow::Result<()> {
    let backups = archive::backups_in(&prune.dest)?;
    let mut dated = Vec::new();
    for path in backups {
        let day = Manifest::read(&path)?.created_at.to_string();
        dated.push((day.get(..10).unwrap_or_default().to_owned(), path));
    }
    let too_old = too_old(&dated, prune.days);
    let kept = dated.len() - too_old.len();
    let cut_off = archive::cut_off_in(&prune.dest)?;
    let removed: Vec<_> = too_old
        .into_iter()
        .chain(cut_off.iter().map(PathBuf::as_path))
        .collect();
    for path in removed.iter().filter(|_| !prune.dry_run) {
        std::fs::remove_dir_all(path).with_context(|| path.display().to_string())?;
    }
    if prune.json {
        return print_json(&json!({ "removed": removed, "kept": kept, "dry_run": prune.dry_run }));
    }
    let word = if prune.dry_run { "would be removed" } else { "removed" };
    for path in &removed {
        output::line!("{} {}", word.yellow(), path.display());
    }
    output::line!("{kept} kept, {} {word}", removed.len());
    Ok(())
}

/// The backups to remove, out of all with their days, oldest first.
fn too_old(dated: &[(String, PathBuf)], days: usize) -> Vec<&Path> {
    let (mut kept_days, mut last_day, mut removed) = (0, None, Vec::new());
    for (day, path) in dated.iter().rev() {
        let is_new_day = last_day != Some(day);
        if is_new_day {
            (kept_days, last_day) = (kept_days + 1, Some(day));
        }
        if !is_new_day || kept_days > days {
            removed.push(path.as_path());
        }
    }
    removed.reverse();
    removed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_backup_of_each_day_is_kept() {
        let dated: Vec<_> = ["01 a", "01 b", "02 c", "05 d", "05 e", "05 f"]
            .iter()
            .map(|one| one.split_once(' ').unwrap())
            .map(|(day, path)| (day.to_owned(), PathBuf::from(path)))
            .collect();
        for (days, removed) in [(1, "abcde"), (2, "abde"), (3, "ade"), (9, "ade")] {
            let names: Vec<_> = removed.chars().map(String::from).collect();
            let expected: Vec<_> = names.iter().map(Path::new).collect();
            assert_eq!(too_old(&dated, days), expected, "{days}");
        }
        assert!(too_old(&dated[..1], 1).is_empty());
    }
}
