//! Words that the shop's owner calls the same, from a file they edit.
//!
//! ```text
//! # A line of words that mean the same, in any direction:
//! tv, television, telly
//! # Whoever searches for the left also finds the right, not the other way round:
//! laptop bag => notebook case, sleeve
//! ```
//!
//! The file is `synonyms.txt` in the data folder, read when the service starts
//! and again within seconds of a change; it needs no index to be made anew.
//!
//! **Invariant:** a line that cannot be read is named in the log and passed over;
//! it never keeps a search from being answered.

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::words::{self, stem};

/// How often the file is looked at, at most.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// A longer file is not a list of synonyms.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Ways to say one thing, and words of each.
const WAYS_MAX: usize = 32;
pub(super) const PHRASE_WORDS_MAX: usize = 4;

/// A word or a few.
pub(super) type Phrase = Vec<String>;

/// What else a phrase is called. Keys are stems, values words as written.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Synonyms(HashMap<Phrase, Vec<Phrase>>);

impl Synonyms {
    /// What else a phrase of stems is called.
    pub(super) fn of(&self, stems: &[String]) -> &[Phrase] {
        self.0.get(stems).map_or(&[], Vec::as_slice)
    }

    /// Reads a file's text; faults are a line's number and what is wrong with it.
    fn read(text: &str) -> (Self, Vec<(usize, String)>) {
        let (mut synonyms, mut faults) = (Self::default(), Vec::new());
        for (number, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            if let Err(why) = synonyms.add(line) {
                faults.push((number + 1, why));
            }
        }
        (synonyms, faults)
    }

    fn add(&mut self, line: &str) -> Result<(), String> {
        if let Some((from, to)) = line.split_once("=>") {
            let (from, to) = (phrases(from)?, phrases(to)?);
            for from in &from {
                self.put(from, &to);
            }
            return Ok(());
        }
        let ways = phrases(line)?;
        if ways.len() < 2 {
            return Err(
                "one word alone is no synonym; write `one, another` or `one => another`".into(),
            );
        }
        for from in &ways {
            self.put(from, &ways);
        }
        Ok(())
    }

    fn put(&mut self, from: &Phrase, to: &[Phrase]) {
        let key: Phrase = from.iter().map(|word| stem(word)).collect();
        let ways = self.0.entry(key).or_default();
        for way in to {
            if way != from && !ways.contains(way) && ways.len() < WAYS_MAX {
                ways.push(way.clone());
            }
        }
    }
}

fn phrases(text: &str) -> Result<Vec<Phrase>, String> {
    let phrases = text.split(',').map(|way| {
        let words = words::words(way);
        match words.len() {
            0 => Err("a word is missing before or after a comma or `=>`".to_owned()),
            1..=PHRASE_WORDS_MAX => Ok(words),
            _ => Err(format!(
                "`{}` has more than {PHRASE_WORDS_MAX} words",
                way.trim()
            )),
        }
    });
    let phrases = phrases.collect::<Result<Vec<_>, _>>()?;
    if phrases.len() > WAYS_MAX {
        return Err(format!("more than {WAYS_MAX} synonyms on a line"));
    }
    Ok(phrases)
}

/// The owner's file, followed as it changes.
pub(super) struct SynonymsFile {
    path: PathBuf,
    state: Mutex<State>,
}

struct State {
    looked: Option<Instant>,
    seen: Option<(SystemTime, u64)>,
    synonyms: Arc<Synonyms>,
}

impl SynonymsFile {
    pub(super) fn new(path: PathBuf) -> Self {
        let state = State { looked: None, seen: None, synonyms: Arc::default() };
        Self { path, state: Mutex::new(state) }
    }

    /// What the file says now.
    pub(super) fn now(&self) -> Arc<Synonyms> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state
            .looked
            .is_none_or(|looked| looked.elapsed() >= LOOK_EVERY)
        {
            state.looked = Some(Instant::now());
            let seen = fs::metadata(&self.path)
                .ok()
                .and_then(|file| Some((file.modified().ok()?, file.len())));
            if seen != state.seen {
                state.seen = seen;
                state.synonyms = Arc::new(load(&self.path));
            }
        }
        Arc::clone(&state.synonyms)
    }
}

/// Reads the file; one that is not there has no synonyms.
fn load(path: &Path) -> Synonyms {
    let shown = path.display();
    let text = match fs::metadata(path) {
        Ok(file) if file.len() > FILE_BYTES_MAX => {
            tracing::warn!(file = %shown, "synonyms are not read: the file is larger than 1 MiB");
            return Synonyms::default();
        }
        Ok(_) => fs::read_to_string(path),
        Err(error) => Err(error),
    };
    let text = match text {
        Ok(text) => text,
        Err(error) => {
            if error.kind() != ErrorKind::NotFound {
                tracing::warn!(file = %shown, %error, "synonyms cannot be read");
            }
            return Synonyms::default();
        }
    };
    let (synonyms, faults) = Synonyms::read(&text);
    for (line, why) in faults {
        tracing::warn!(file = %shown, line, why, "a line of synonyms is passed over");
    }
    tracing::info!(file = %shown, phrases = synonyms.0.len(), "synonyms are read");
    synonyms
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(synonyms: &Synonyms, phrase: &str) -> Vec<String> {
        let stems: Vec<String> = phrase.split(' ').map(stem).collect();
        let ways = synonyms.of(&stems).iter();
        ways.map(|way| way.join(" ")).collect()
    }

    #[test]
    fn lines_are_read_and_faults_are_named() {
        let text = "# tellies\nTV, television , telly # any\n\nlaptop bag => notebook case, sleeve\nalone\na, b,\na b c d e, f\n";
        let (synonyms, faults) = Synonyms::read(text);
        assert_eq!(of(&synonyms, "tv"), ["television", "telly"]);
        assert_eq!(of(&synonyms, "telly"), ["tv", "television"]);
        assert_eq!(of(&synonyms, "laptop bags"), ["notebook case", "sleeve"]);
        assert!(of(&synonyms, "sleeve").is_empty());
        let lines: Vec<usize> = faults.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [5, 6, 7], "{faults:?}");
    }
}
