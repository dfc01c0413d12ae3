//! The progress of a long phase: a bar on a terminal, a plain line every few seconds where
//! standard error is a pipe or a file.
//!
//! **Invariant:** everything here goes to standard error, so that the standard output of
//! `--json` is one JSON document.

use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use parking_lot::Mutex;

/// Between two plain lines; long enough that a log of a slow run stays short.
const PLAIN_LINE_EVERY: Duration = Duration::from_secs(5);

const COUNT_STYLE: &str =
    "{prefix:>18} {wide_bar:.cyan/dim} {human_pos}/{human_len} {per_sec} ETA {eta} {msg}";
const BYTES_STYLE: &str = "{prefix:>18} {wide_bar:.cyan/dim} {bytes}/{total_bytes} {msg}";

/// One phase of known length. Clones advance the same phase.
#[derive(Clone)]
pub(crate) struct PhaseProgress {
    bar: ProgressBar,
    plain: Option<Arc<Mutex<Instant>>>,
}

impl PhaseProgress {
    /// A phase of `total` equal steps.
    pub(crate) fn count(what: &'static str, total: u64) -> Self {
        Self::new(what, total, COUNT_STYLE)
    }

    /// A phase that reads `total` bytes; see [`PhaseProgress::reading`].
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

    /// Counts the bytes read through the returned reader as this phase's.
    pub(crate) fn reading<R: Read>(&self, reader: R) -> impl Read + use<R> {
        self.bar.wrap_read(reader)
    }

    /// One more step is done.
    pub(crate) fn step(&self) {
        self.bar.inc(1);
        self.print_when_due();
    }

    /// Shows `note` beside the bar, such as a count in the reader's own terms.
    pub(crate) fn note(&self, note: String) {
        self.bar.set_message(note);
        self.print_when_due();
    }

    /// Ends the phase; where there is no bar, with one last line.
    pub(crate) fn finish(&self) {
        if self.plain.is_some() {
            self.print_plain();
        }
        self.bar.finish();
    }

    fn print_when_due(&self) {
        let Some(printed) = &self.plain else { return };
        let mut printed = printed.lock();
        if printed.elapsed() >= PLAIN_LINE_EVERY {
            *printed = Instant::now();
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
