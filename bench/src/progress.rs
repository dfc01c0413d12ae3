//! How far a long phase is: a bar on a terminal, a plain line now and then
//! where standard error is a pipe or a file.
//!
//! Everything here goes to standard error, never to standard output, so that
//! `--json` stays one JSON document.

use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

/// Between two plain lines; long enough that a log of a slow run stays short.
const PLAIN_LINE_EVERY: Duration = Duration::from_secs(5);

const COUNT_STYLE: &str =
    "{prefix:>18} {wide_bar:.cyan/dim} {human_pos}/{human_len} {per_sec} ETA {eta} {msg}";
const BYTES_STYLE: &str = "{prefix:>18} {wide_bar:.cyan/dim} {bytes}/{total_bytes} {msg}";

/// One phase of known length. Clones show and move the same phase.
#[derive(Clone)]
pub(crate) struct Progress {
    bar: ProgressBar,
    plain: Option<Arc<Mutex<Instant>>>,
}

impl Progress {
    /// A phase of `total` equal steps.
    pub(crate) fn count(what: &'static str, total: u64) -> Self {
        Self::new(what, total, COUNT_STYLE)
    }

    /// A phase that reads `total` bytes; see [`Progress::reading`].
    pub(crate) fn bytes(what: &'static str, total: u64) -> Self {
        Self::new(what, total, BYTES_STYLE)
    }

    fn new(what: &'static str, total: u64, style: &str) -> Self {
        let style = ProgressStyle::with_template(style).expect("the templates above are valid");
        // indicatif draws on standard error, and nothing where that is no terminal.
        let bar = ProgressBar::new(total).with_style(style).with_prefix(what);
        let plain = bar
            .is_hidden()
            .then(|| Arc::new(Mutex::new(Instant::now())));
        Self { bar, plain }
    }

    /// Counts what is read through the returned reader as this phase's bytes.
    pub(crate) fn reading<R: Read>(&self, reader: R) -> impl Read + use<R> {
        self.bar.wrap_read(reader)
    }

    /// One more step is done.
    pub(crate) fn step(&self) {
        self.bar.inc(1);
        self.speak();
    }

    /// Shows `note` beside the bar, such as a count in the reader's own terms.
    pub(crate) fn note(&self, note: String) {
        self.bar.set_message(note);
        self.speak();
    }

    /// Ends the phase; where there is no bar, with one last line.
    pub(crate) fn finish(&self) {
        if self.plain.is_some() {
            self.print_plain();
        }
        self.bar.finish();
    }

    fn speak(&self) {
        let Some(spoken) = &self.plain else { return };
        let mut spoken = spoken.lock().unwrap_or_else(PoisonError::into_inner);
        if spoken.elapsed() >= PLAIN_LINE_EVERY {
            *spoken = Instant::now();
            self.print_plain();
        }
    }

    fn print_plain(&self) {
        let (done, total) = (self.bar.position(), self.bar.length().unwrap_or(0));
        let share = (done * 100).checked_div(total).unwrap_or(100);
        anstream::eprintln!(
            "{}: {share} % ({} of {}) {}",
            self.bar.prefix(),
            HumanCount(done),
            HumanCount(total),
            self.bar.message()
        );
    }
}
