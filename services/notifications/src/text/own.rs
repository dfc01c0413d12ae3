//! The owner's texts: read when they are first needed, and again when they
//! changed.
//!
//! **Invariant:** what is looked at is bounded: so many languages, so many files,
//! each of so many bytes.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use minijinja::{Environment, Error as Fault};

use super::{built_in, environment};

/// How often it is looked whether a file changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How many languages are looked at.
const LANGUAGES_MAX: usize = 64;

/// How many files of a language are looked at.
const FILES_MAX: usize = 64;

/// How large a text may be, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// A file, when it was last written, and its size.
type Seen = (PathBuf, Option<SystemTime>, u64);

/// The owner's texts as they are now.
pub(super) struct Own {
    folder: PathBuf,
    shop: String,
    latest: Mutex<(Option<Instant>, Vec<Seen>, Arc<Reading>)>,
}

/// The owner's texts as they were read once.
pub(super) struct Reading {
    folder: PathBuf,
    /// `<language>/<file>`, those that compile.
    pub(super) templates: Environment<'static>,
    told: Mutex<HashSet<String>>,
}

impl Own {
    pub(super) fn new(folder: PathBuf, shop: String) -> Self {
        let reading = Reading {
            folder: folder.clone(),
            templates: environment(&shop),
            told: Mutex::default(),
        };
        let latest = Mutex::new((None, Vec::new(), Arc::new(reading)));
        Self { folder, shop, latest }
    }

    /// The texts, read again if a file changed since the last look, which is at
    /// most so long ago.
    pub(super) fn look(&self) -> Arc<Reading> {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let (looked_at, seen, reading) = &mut *latest;
        if looked_at.is_some_and(|at| at.elapsed() < LOOK_EVERY) {
            return reading.clone();
        }
        let files = files(&self.folder);
        if files != *seen {
            *reading = Arc::new(self.read(&files));
            *seen = files;
        }
        *looked_at = Some(Instant::now());
        reading.clone()
    }

    fn read(&self, files: &[Seen]) -> Reading {
        let mut templates = environment(&self.shop);
        for (file, _, bytes) in files {
            let Some(name) = name(&self.folder, file) else {
                continue;
            };
            let known = built_in::FILES.iter().any(|(path, _)| {
                path.split_once('/').map(|(_, file)| file)
                    == name.split_once('/').map(|(_, file)| file)
            });
            if !known {
                tracing::warn!(file = %file.display(), "no message has a text of this name");
                continue;
            }
            if *bytes > FILE_BYTES_MAX {
                tracing::error!(file = %file.display(), "this text is not used: it has more than {FILE_BYTES_MAX} bytes");
                continue;
            }
            let source = match fs::read_to_string(file) {
                Ok(source) => source,
                Err(error) => {
                    tracing::error!(file = %file.display(), %error, "this text is not used");
                    continue;
                }
            };
            if let Err(fault) = templates.add_template_owned(name, source) {
                tell(file, &fault);
            }
        }
        Reading {
            folder: self.folder.clone(),
            templates,
            told: Mutex::default(),
        }
    }
}

impl Reading {
    /// Says once that a text could not be used.
    pub(super) fn tell(&self, name: &str, fault: &Fault) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.insert(name.to_owned()) {
            tell(&self.folder.join(name), fault);
        }
    }
}

fn tell(file: &Path, fault: &Fault) {
    let line = fault.line().unwrap_or(1);
    tracing::error!(file = %file.display(), line, why = %fault, "this text is not used; the next best one is");
}

/// `<language>/<file>` with the language lower-cased.
fn name(folder: &Path, file: &Path) -> Option<String> {
    let (language, file) = file.strip_prefix(folder).ok()?.to_str()?.split_once('/')?;
    Some(format!("{}/{file}", language.to_ascii_lowercase()))
}

fn files(folder: &Path) -> Vec<Seen> {
    let mut files = Vec::new();
    for language in entries(folder, LANGUAGES_MAX) {
        for file in entries(&language, FILES_MAX) {
            if let Ok(known) = fs::metadata(&file)
                && known.is_file()
            {
                files.push((file, known.modified().ok(), known.len()));
            }
        }
    }
    files.sort();
    files
}

fn entries(folder: &Path, count_max: usize) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().take(count_max);
    entries.filter_map(|entry| entry.ok().map(|entry| entry.path()))
}
