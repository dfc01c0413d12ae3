//! Template files: the built-in ones, compiled into the binary, and the custom ones of the
//! shop's owner, loaded on first use and reloaded on change.
//!
//! **Invariants:** every language has the same built-in files. The number of custom languages
//! and files and the size of each file are bounded.

use std::collections::HashSet;
use std::error::Error as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use minijinja::{Environment, Error as Fault};
use parking_lot::Mutex;

use super::{ShopData, environment};

macro_rules! files {
    ($($language:literal)*) => {
        /// `<language>/<file>` and its content; the layouts are of no language.
        pub(super) const BUILT_IN: &[(&str, &str)] = &[
            ("layout.html", include_str!("../../templates/layout.html")),
            ("layout.txt", include_str!("../../templates/layout.txt")),
        $(
            files!(@ $language, "backup.failed.txt"),
            files!(@ $language, "backup.overdue.txt"),
            files!(@ $language, "backup.recovered.txt"),
            files!(@ $language, "digest.txt"),
            files!(@ $language, "order.buyer_erased.txt"),
            files!(@ $language, "order.cancel_requested.txt"),
            files!(@ $language, "order.cancelled_by_buyer.txt"),
            files!(@ $language, "order.payment_kept.txt"),
            files!(@ $language, "order.payment_received.txt"),
            files!(@ $language, "order.placed.txt"),
            files!(@ $language, "refund.due.txt"),
            files!(@ $language, "event.parked.txt"),
            files!(@ $language, "mail.failed.txt"),
            files!(@ $language, "mail.delayed.txt"),
            files!(@ $language, "mail.recovered.txt"),
            files!(@ $language, "webhook.failing.txt"),
            files!(@ $language, "mail.html"),
            files!(@ $language, "mail.txt"),
            files!(@ $language, "order.cancelled.txt"),
            files!(@ $language, "order.confirmed.txt"),
            files!(@ $language, "order.corrected.txt"),
            files!(@ $language, "order.delivered.txt"),
            files!(@ $language, "order.paid.txt"),
            files!(@ $language, "order.refunded.txt"),
            files!(@ $language, "order.rejected.txt"),
            files!(@ $language, "order.shipped.txt"),
            files!(@ $language, "order.step_undone.txt"),
            files!(@ $language, "payment.disputed.txt"),
            files!(@ $language, "payment.refunded.txt"),
            files!(@ $language, "payment.unmatched.txt"),
            files!(@ $language, "payment.unreadable.txt"),
            files!(@ $language, "session.reused.txt"),
            files!(@ $language, "stock.low.txt"),
            files!(@ $language, "user.code_requested.txt"),
            files!(@ $language, "user.email_change_requested.txt"),
            files!(@ $language, "user.email_changed.txt"),
            files!(@ $language, "user.password_changed.txt"),
            files!(@ $language, "user.registered.txt"),
            files!(@ $language, "user.second_factor_changed.txt"),
            files!(@ $language, "webhook.disabled.txt"),
        )*];
    };
    (@ $language:literal, $file:literal) => {
        (concat!($language, "/", $file), include_str!(concat!("../../templates/", $language, "/", $file)))
    };
}

files! { "en" "de" }

/// How often the files are checked for changes.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// Most languages loaded.
const LANGUAGES_MAX: usize = 64;

/// Most files loaded per language.
const FILES_MAX: usize = 64;

/// Largest template, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// A file, its modification time and its size.
type FileStamp = (PathBuf, Option<SystemTime>, u64);

/// The custom templates and when they were last checked.
pub(super) struct CustomTemplates {
    folder: PathBuf,
    shop: ShopData,
    latest: Mutex<(Option<Instant>, Vec<FileStamp>, Arc<LoadedTemplates>)>,
}

/// One load of the custom templates.
pub(super) struct LoadedTemplates {
    folder: PathBuf,
    /// The built-in ones, with those of the owner that compile in place of theirs.
    pub(super) templates: Environment<'static>,
    logged: Mutex<HashSet<String>>,
}

impl CustomTemplates {
    pub(super) fn new(folder: PathBuf, shop: ShopData) -> Self {
        let loaded = LoadedTemplates {
            folder: folder.clone(),
            templates: environment(&shop),
            logged: Mutex::default(),
        };
        let latest = Mutex::new((None, Vec::new(), Arc::new(loaded)));
        Self { folder, shop, latest }
    }

    /// The templates, reloaded if a file changed since the last check.
    pub(super) fn current(&self) -> Arc<LoadedTemplates> {
        let mut latest = self.latest.lock();
        let (checked_at, stamps, loaded) = &mut *latest;
        if checked_at.is_some_and(|at| at.elapsed() < CHECK_EVERY) {
            return loaded.clone();
        }
        let files = files(&self.folder);
        if files != *stamps {
            *loaded = Arc::new(self.load(&files));
            *stamps = files;
        }
        *checked_at = Some(Instant::now());
        loaded.clone()
    }

    fn load(&self, files: &[FileStamp]) -> LoadedTemplates {
        let (templates, faults) = compile(&self.folder, &self.shop, files);
        for TemplateFault { file, line, why } in faults {
            tracing::error!(file = %file.display(), line, why, "this template is not used");
        }
        LoadedTemplates {
            folder: self.folder.clone(),
            templates,
            logged: Mutex::default(),
        }
    }
}

/// Why a custom template is not used.
pub(super) struct TemplateFault {
    pub(super) file: PathBuf,
    pub(super) line: Option<usize>,
    pub(super) why: String,
}

/// The faults of the custom templates in a folder.
pub(super) fn faults(folder: &Path) -> Vec<TemplateFault> {
    compile(folder, &ShopData::default(), &files(folder)).1
}

/// Compiles custom templates, and says why others are not used.
fn compile(
    folder: &Path,
    shop: &ShopData,
    files: &[FileStamp],
) -> (Environment<'static>, Vec<TemplateFault>) {
    let (mut templates, mut faults) = (environment(shop), Vec::new());
    for (file, _, bytes) in files {
        let Some(name) = name(folder, file) else {
            continue;
        };
        let mut refuse = |line, why: String| {
            let file = file.clone();
            faults.push(TemplateFault { file, line, why });
        };
        let file_of = |name: &str| name.split_once('/').map(|(_, file)| file.to_owned());
        let known = BUILT_IN.iter().any(|(path, _)| match file_of(&name) {
            Some(file) => file_of(path) == Some(file),
            None => *path == name,
        });
        if !known {
            refuse(None, "no message uses a template of this name".into());
            continue;
        }
        if *bytes > FILE_BYTES_MAX {
            refuse(None, format!("it has more than {FILE_BYTES_MAX} bytes"));
            continue;
        }
        match fs::read_to_string(file) {
            Err(error) => refuse(None, error.to_string()),
            Ok(source) => {
                if let Err(fault) = templates.add_template_owned(name, source) {
                    refuse(fault.line(), fault.to_string());
                }
            }
        }
    }
    (templates, faults)
}

impl LoadedTemplates {
    /// Logs a template's fault once per load.
    pub(super) fn log_once(&self, name: &str, fault: &Fault) {
        if self.logged.lock().insert(name.to_owned()) {
            log(&self.folder, name, fault);
        }
    }
}

fn log(folder: &Path, name: &str, fault: &Fault) {
    // A fault of a layout is the source of the fault of what includes it.
    let mut fault = fault;
    while let Some(source) = fault.source().and_then(|source| source.downcast_ref()) {
        fault = source;
    }
    let file = folder.join(fault.name().unwrap_or(name));
    let line = fault.line().unwrap_or(1);
    tracing::error!(file = %file.display(), line, why = %fault, "this template is not used; the next in order is");
}

/// `<language>/<file>` with the language lower-cased, or a layout's file.
fn name(folder: &Path, file: &Path) -> Option<String> {
    let path = file.strip_prefix(folder).ok()?.to_str()?;
    Some(match path.split_once('/') {
        Some((language, file)) => format!("{}/{file}", language.to_ascii_lowercase()),
        None => path.to_owned(),
    })
}

fn files(folder: &Path) -> Vec<FileStamp> {
    let mut files = Vec::new();
    let mut take = |file: PathBuf| {
        if let Ok(known) = fs::metadata(&file)
            && known.is_file()
        {
            files.push((file, known.modified().ok(), known.len()));
        }
    };
    for language in entries(folder, LANGUAGES_MAX) {
        if language.is_dir() {
            entries(&language, FILES_MAX).for_each(&mut take);
        } else if language.file_stem().is_some_and(|stem| stem == "layout") {
            take(language);
        }
    }
    files.sort();
    files
}

fn entries(folder: &Path, count_max: usize) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().take(count_max);
    entries.filter_map(|entry| entry.ok().map(|entry| entry.path()))
}
