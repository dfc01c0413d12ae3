//! The report of an import.
//!
//! **Invariant:** a report is bounded; what it names is a part, what it counts is all.

use chassis::FieldError;
use model::Currency;
use serde::Serialize;

use super::cells::Omissions;
use super::line::{LineEffect, LineOutcome, ProductLine};

/// Lines reported with their errors; all are counted.
const FAILURES_NAMED_MAX: usize = 100;
/// Columns, pictures, tags and products named.
const IGNORED_NAMED_MAX: usize = 100;
/// The length to which a column's name is cut.
const COLUMN_CHARS_MAX: usize = 64;

/// The counts of an import, by outcome, and what it assumed and left alone.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Summary {
    /// Whether nothing was written.
    dry_run: bool,
    read: u64,
    created: u64,
    updated: u64,
    unchanged: u64,
    failed: u64,
    /// The currency of prices of new products, if the file and the caller named none.
    assumed_currency: Option<Currency>,
    /// Columns that are not read.
    ignored_columns: Vec<String>,
    /// Lines whose stock was not set, because their product exists.
    stock_ignored: u64,
    /// Pictures beyond the most of a product.
    images_ignored: Vec<String>,
    /// Tags beyond the most of a product, or too long for one.
    tags_ignored: Vec<String>,
    /// SKUs of products whose description was too long, and lost its end.
    descriptions_cut: Vec<String>,
    errors: Vec<LineErrors>,
}

/// A line that failed.
#[derive(Debug, Serialize)]
struct LineErrors {
    line: u64,
    errors: Vec<FieldError>,
}

impl Summary {
    /// The summary of nothing yet.
    pub(super) fn new(dry_run: bool) -> Self {
        Self { dry_run, ..Self::default() }
    }

    /// Counts a line.
    pub(super) fn count(&mut self, line: &ProductLine, effect: &LineEffect) {
        self.read += 1;
        match effect.outcome() {
            LineOutcome::Created => self.created += 1,
            LineOutcome::Updated => self.updated += 1,
            LineOutcome::Unchanged => self.unchanged += 1,
        }
        self.assumed_currency = self.assumed_currency.or(effect.assumed_currency);
        self.stock_ignored += u64::from(effect.ignores_stock);
        if let Some(Omissions { images, tags, is_description_cut }) = line.omissions() {
            let cut = is_description_cut.then(|| line.sku.clone());
            name(&mut self.descriptions_cut, cut);
            name(&mut self.images_ignored, images.iter().cloned());
            name(&mut self.tags_ignored, tags.iter().cloned());
        }
    }

    /// Counts a line that failed.
    pub(super) fn fail(&mut self, line: u64, errors: Vec<FieldError>) {
        self.read += 1;
        self.failed += 1;
        if self.errors.len() < FAILURES_NAMED_MAX {
            self.errors.push(LineErrors { line, errors });
        }
    }

    /// Names the columns that are not read.
    pub(super) fn ignore_columns(&mut self, columns: Vec<String>) {
        let cut = |name: String| name.chars().take(COLUMN_CHARS_MAX).collect();
        let named = columns.into_iter().take(IGNORED_NAMED_MAX);
        self.ignored_columns = named.map(cut).collect();
    }

    /// Adds the counts of later lines.
    pub(super) fn add(&mut self, later: Self) {
        self.read += later.read;
        self.created += later.created;
        self.updated += later.updated;
        self.unchanged += later.unchanged;
        self.failed += later.failed;
        self.assumed_currency = self.assumed_currency.or(later.assumed_currency);
        // They come with the first lines.
        self.ignored_columns.extend(later.ignored_columns);
        self.stock_ignored += later.stock_ignored;
        name(&mut self.images_ignored, later.images_ignored);
        name(&mut self.tags_ignored, later.tags_ignored);
        name(&mut self.descriptions_cut, later.descriptions_cut);
        let left = FAILURES_NAMED_MAX - self.errors.len();
        self.errors.extend(later.errors.into_iter().take(left));
    }
}

/// Names what was ignored, as long as there are few.
fn name(named: &mut Vec<String>, ignored: impl IntoIterator<Item = String>) {
    let left = IGNORED_NAMED_MAX.saturating_sub(named.len());
    named.extend(ignored.into_iter().take(left));
}
