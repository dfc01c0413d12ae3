//! The synonym file of the shop's owner, reloaded when it changes.
//!
//! `synonyms.txt` in the data folder is read when the service starts and again within
//! seconds of a change.
//!
//! **Invariant:** a file or a line that cannot be read is logged and skipped; it never
//! fails a search.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use ::search::Synonyms;
use parking_lot::Mutex;

/// The shortest time between two looks at the file.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// A longer file is not a list of synonyms.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The file and its last parsed content.
pub(super) struct SynonymsFile {
    path: PathBuf,
    loaded: Mutex<Loaded>,
}

#[derive(Default)]
struct Loaded {
    looked: Option<Instant>,
    seen: Option<(SystemTime, u64)>,
    synonyms: Arc<Synonyms>,
}

impl SynonymsFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, loaded: Mutex::default() }
    }

    /// The present synonyms.
    pub(super) fn synonyms(&self) -> Arc<Synonyms> {
        let mut loaded = self.loaded.lock();
        if loaded
            .looked
            .is_none_or(|looked| looked.elapsed() >= LOOK_EVERY)
        {
            loaded.looked = Some(Instant::now());
            let seen = fs::metadata(&self.path)
                .ok()
                .and_then(|file| Some((file.modified().ok()?, file.len())));
            if seen != loaded.seen {
                loaded.seen = seen;
                loaded.synonyms = Arc::new(load(&self.path));
            }
        }
        Arc::clone(&loaded.synonyms)
    }
}

/// Reads the file; a missing one has no synonyms.
fn load(path: &Path) -> Synonyms {
    let file = path.display();
    let text = match fs::metadata(path) {
        Ok(metadata) if metadata.len() > FILE_BYTES_MAX => {
            tracing::warn!(%file, "synonyms are not read: the file is larger than 1 MiB");
            return Synonyms::default();
        }
        Ok(_) => fs::read_to_string(path),
        Err(error) => Err(error),
    };
    let text = match text {
        Ok(text) => text,
        Err(error) => {
            if error.kind() != ErrorKind::NotFound {
                tracing::warn!(%file, %error, "synonyms cannot be read");
            }
            return Synonyms::default();
        }
    };
    let (synonyms, faults) = Synonyms::parse(&text);
    for (line, why) in faults {
        tracing::warn!(%file, line, why, "a line of synonyms is skipped");
    }
    tracing::info!(%file, phrases = synonyms.len(), "synonyms are loaded");
    synonyms
}
