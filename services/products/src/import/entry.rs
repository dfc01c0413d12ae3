//! Lines as they are parsed: each with its number, and its content or its faults.
//!
//! **Invariant:** of one line a bounded number of bytes is read and of faults reported.

use chassis::FieldError;
use chassis::fields::BodyFault;

use super::line::ProductLine;

/// A line or a record, in bytes. A product has at most 24 KiB; the rest is white
/// space, escapes and HTML.
pub(super) const RECORD_BYTES_MAX: usize = 1024 * 1024;
/// Errors reported of one line.
const ERRORS_PER_LINE_MAX: usize = 20;

/// A parsed line with its number, counted from 1.
#[derive(Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) line: u64,
    pub(crate) content: Result<ProductLine, Vec<FieldError>>,
}

impl Entry {
    pub(super) fn new(line: u64, content: Result<ProductLine, BodyFault>) -> Self {
        Self { line, content: content.map_err(line_faults) }
    }

    pub(super) fn unreadable(line: u64, why: impl Into<String>) -> Self {
        Self::new(line, Err(BodyFault::Unreadable(why.into())))
    }

    pub(super) fn too_long(line: u64) -> Self {
        Self::unreadable(
            line,
            format!("the line is longer than {RECORD_BYTES_MAX} bytes"),
        )
    }
}

/// The faults of a line as they are reported.
pub(super) fn line_faults(fault: BodyFault) -> Vec<FieldError> {
    match fault {
        BodyFault::Unreadable(why) => vec![FieldError::new("", why)],
        BodyFault::Invalid(mut errors) => {
            errors.truncate(ERRORS_PER_LINE_MAX);
            errors
        }
    }
}

/// Whether the end of a body has more entries to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remainder {
    More,
    Nothing,
}
