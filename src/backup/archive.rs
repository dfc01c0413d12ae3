//! The folder of a backup.
//!
//! ```text
//! DEST/konbini-20261130T104500Z/
//!   SHA256SUMS              checksums of all other files, for `sha256sum --check`
//!   manifest.json           what is in it, see `Manifest`
//!   SHOP, konbini.toml, synonyms.txt, templates/
//!   SERVICE/rows.zst        the rows of the service (see `store::Frame`)
//!   SERVICE/records.zst     the records that go over them
//!   SERVICE/erasures        who was erased: accounts of users, guests of orders
//!   keys/, SERVICE/*.secret only with --keys
//! ```
//!
//! While it is made, the folder has a name with a dot before and `.partial` behind.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use chassis::Folder;
use data_encoding::HEXLOWER;
use model::Time;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::SecretKeys;
use super::files::{
    PIECE_BYTES, copy_file, ensure_room, files_below, make_folder, sync_folder, sync_folders,
    write_new,
};
use crate::service_name::ServiceName;

/// The format of backups that this program writes; it reads no newer one.
const FORMAT: u32 = 1;

const SUMS: &str = "SHA256SUMS";
const MANIFEST: &str = "manifest.json";
const PREFIX: &str = "konbini-";
const PARTIAL: &str = ".partial";

/// No backup takes longer.
const PARTIAL_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// The files of a shop, by their names in a backup and in the data folder.
pub(super) const MARKER: &str = "SHOP";
pub(super) const SETTINGS: &str = "konbini.toml";
pub(super) const SYNONYMS: &str = "synonyms.txt";
pub(super) const ERASURES: [&str; 2] = ["users/erasures", "orders/erasures"];
const TEMPLATES: &str = "templates";
const KEYS: &str = "keys";
const SECRET: &str = "secret";

/// What is in a backup.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Manifest {
    format: u32,
    /// The version of konbini that made it.
    konbini: String,
    /// The shop's name on the mesh.
    shop: String,
    /// When it was begun.
    pub(super) created_at: Time,
    /// For how long the followers of running services were held, in milliseconds.
    pub(super) held_ms: u64,
    /// Whether the secret keys are in it.
    pub(super) has_keys: bool,
    /// The size of all files.
    pub(super) bytes: u64,
    pub(super) services: BTreeMap<String, Part>,
}

/// The copy of one service.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Part {
    /// The number of rows that were read.
    pub(super) rows: u64,
    /// The number of records that go over them.
    pub(super) records: u64,
    /// The number of the last record that the copy has.
    pub(super) end: u64,
    /// The number of the last event of its log.
    pub(super) log: u64,
    /// The size of both files.
    pub(super) bytes: u64,
}

impl Manifest {
    pub(super) fn new(folder: &Folder) -> Self {
        Self {
            format: FORMAT,
            konbini: env!("CARGO_PKG_VERSION").to_owned(),
            shop: folder.shop().to_owned(),
            created_at: model::now(),
            held_ms: 0,
            has_keys: false,
            bytes: 0,
            services: BTreeMap::new(),
        }
    }

    /// Adds the copies of services.
    pub(super) fn add(&mut self, parts: Vec<(ServiceName, Part)>) {
        let parts = parts.into_iter();
        self.services
            .extend(parts.map(|(service, part)| (service.name().to_owned(), part)));
    }

    /// Reads the manifest of a backup.
    pub(super) fn read(backup: &Path) -> anyhow::Result<Self> {
        let file = backup.join(MANIFEST);
        let bytes = fs::read(&file).with_context(|| file.display().to_string())?;
        let manifest: Self = serde_json::from_slice(&bytes)
            .with_context(|| format!("{}: it is damaged", file.display()))?;
        if manifest.format > FORMAT {
            bail!(
                "{}: it has format {} and this program reads up to {FORMAT}; use konbini {} or newer",
                file.display(),
                manifest.format,
                manifest.konbini
            );
        }
        Ok(manifest)
    }
}

/// A backup that is being made.
pub(super) struct Archive {
    partial: PathBuf,
    path: PathBuf,
}

impl Archive {
    /// Makes the folder for a new backup in `dest`.
    pub(super) fn begin(dest: &Path, at: Time) -> anyhow::Result<Self> {
        let failed = || dest.display().to_string();
        fs::create_dir_all(dest).with_context(failed)?;
        let name = name_at(at);
        let (partial, path) = (dest.join(format!(".{name}{PARTIAL}")), dest.join(&name));
        if path.exists() {
            bail!("{}: this backup exists already", path.display());
        }
        make_folder(&partial).with_context(|| partial.display().to_string())?;
        ensure_room(&partial)?;
        Ok(Self { partial, path })
    }

    /// The folder while it is made.
    pub(super) fn folder(&self) -> &Path {
        &self.partial
    }

    /// Copies the files beside the stores: after them, so that the lists of erasures have
    /// everybody whom the stores have as erased.
    pub(super) fn copy_files(
        &self,
        folder: &Folder,
        keys: SecretKeys,
        manifest: &mut Manifest,
    ) -> anyhow::Result<()> {
        let data = folder.path();
        let mut names: Vec<_> = [MARKER, SETTINGS, SYNONYMS].map(PathBuf::from).into();
        names.extend(ERASURES.map(PathBuf::from));
        names.extend(templates_in(data)?);
        if keys == SecretKeys::Copied {
            names.extend(secrets_in(data)?);
            manifest.has_keys = true;
        }
        names.iter().try_for_each(|name| self.copy(data, name))
    }

    /// Copies a file of the shop, if it is there.
    fn copy(&self, data: &Path, name: &Path) -> anyhow::Result<()> {
        let (from, to) = (data.join(name), self.partial.join(name));
        copy_file(&from, &to).with_context(|| from.display().to_string())
    }

    /// Completes the backup and gives it its name.
    pub(super) fn finish(&self, manifest: &mut Manifest) -> anyhow::Result<PathBuf> {
        let mut sums = String::new();
        for name in files_below(&self.partial)? {
            let file = self.partial.join(&name);
            manifest.bytes += file.metadata()?.len();
            sums += &line(&checksum(&file, |_| {})?, &name);
        }
        let written = serde_json::to_vec_pretty(manifest)?;
        write_new(&self.partial.join(MANIFEST), &written)?;
        sums += &line(
            &HEXLOWER.encode(&Sha256::digest(&written)),
            Path::new(MANIFEST),
        );
        write_new(&self.partial.join(SUMS), sums.as_bytes())?;
        sync_folders(&self.partial)?;
        fs::rename(&self.partial, &self.path)?;
        sync_folder(self.path.parent().unwrap_or(Path::new(".")))?;
        Ok(self.path.clone())
    }

    /// Removes what there is of it.
    pub(super) fn discard(&self) {
        // What cannot be removed is named when the next backup begins.
        let _ = fs::remove_dir_all(&self.partial);
    }
}

/// The templates of mails in a shop's folder or a backup, relative to it.
pub(super) fn templates_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let names = files_below(&folder.join(TEMPLATES))?.into_iter();
    Ok(names.map(|name| Path::new(TEMPLATES).join(name)).collect())
}

/// The secret keys in a shop's folder or a copy of it, relative to it: those that sign, and
/// those of each service.
pub(super) fn secrets_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut secrets = Vec::new();
    for parent in ServiceName::ALL
        .map(ServiceName::name)
        .into_iter()
        .chain([KEYS])
    {
        let names = files_below(&folder.join(parent))?.into_iter();
        let names = names.filter(|name| name.extension().is_some_and(|end| end == SECRET));
        secrets.extend(names.map(|name| Path::new(parent).join(name)));
    }
    Ok(secrets)
}

/// The name of a backup that was begun at a time.
fn name_at(at: Time) -> String {
    let text = at.to_string();
    let digits = text
        .split('.')
        .next()
        .unwrap_or(&text)
        .replace(['-', ':'], "");
    format!("{PREFIX}{}Z", digits.trim_end_matches('Z'))
}

/// The complete backups in a folder, oldest first.
pub(super) fn backups_in(dest: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dest).with_context(|| dest.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(PREFIX) && path.join(MANIFEST).exists() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// What backups that were cut off have left in a folder, untouched for [`PARTIAL_AGE`].
pub(super) fn cut_off_in(dest: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dest).with_context(|| dest.display().to_string())? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_partial = name.starts_with(&format!(".{PREFIX}")) && name.ends_with(PARTIAL);
        // A clock that went back makes it young again.
        let age = entry.metadata()?.modified()?.elapsed().unwrap_or_default();
        if is_partial && age > PARTIAL_AGE {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// Whether a folder is a backup.
pub(super) fn is_backup(path: &Path) -> bool {
    path.join(MANIFEST).exists() && path.join(SUMS).exists()
}

/// The size of the files that [`verify_sums`] reads.
pub(super) fn bytes_of(backup: &Path) -> anyhow::Result<u64> {
    let sizes = files_below(backup)?
        .into_iter()
        .map(|name| Ok(backup.join(name).metadata()?.len()));
    sizes.sum()
}

/// Compares all files with their checksums; `progress` is called with the bytes read.
pub(super) fn verify_sums(backup: &Path, progress: impl Fn(u64)) -> anyhow::Result<()> {
    let file = backup.join(SUMS);
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let mut expected = BTreeMap::new();
    for line in text.lines() {
        let (sum, name) = line
            .split_once("  ")
            .with_context(|| format!("{}: it is damaged", file.display()))?;
        expected.insert(PathBuf::from(name), sum);
    }
    for name in files_below(backup)? {
        let path = backup.join(&name);
        let known = expected.remove(&name);
        if name != Path::new(SUMS) && known != Some(&checksum(&path, &progress)?) {
            bail!(
                "{}: it is not as it was written; use another backup",
                path.display()
            );
        }
    }
    match expected.into_keys().next() {
        Some(missing) => bail!(
            "{}: it is missing; use another backup",
            backup.join(missing).display()
        ),
        None => Ok(()),
    }
}

/// The SHA-256 (FIPS 180-4) of a file, hexadecimal.
fn checksum(path: &Path, progress: impl Fn(u64)) -> anyhow::Result<String> {
    let failed = || path.display().to_string();
    let mut file = BufReader::new(File::open(path).with_context(failed)?);
    let (mut sum, mut piece) = (Sha256::new(), vec![0; PIECE_BYTES]);
    loop {
        let count = file.read(&mut piece).with_context(failed)?;
        if count == 0 {
            return Ok(HEXLOWER.encode(&sum.finalize()));
        }
        sum.update(&piece[..count]);
        progress(count as u64);
    }
}

fn line(sum: &str, name: &Path) -> String {
    format!("{sum}  {}\n", name.display())
}
