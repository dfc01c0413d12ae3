//! Merge scan: two ordered runs of rows as one.
//!
//! Readers merge the memtables over the database, and a transaction its own writes over
//! both.

use std::iter::Peekable;

use crate::read::RawRow;

/// Stored rows with written ones on top, both in the same direction.
pub(crate) fn merge<'a>(
    stored: Box<dyn Iterator<Item = RawRow> + 'a>,
    written: impl Iterator<Item = (Vec<u8>, Option<Vec<u8>>)> + 'a,
    newest_first: bool,
) -> Box<dyn Iterator<Item = RawRow> + 'a> {
    let mut written = written.peekable();
    if written.peek().is_none() {
        return stored;
    }
    Box::new(Merge { stored: stored.peekable(), written, newest_first })
}

/// Two ordered runs as one; where both hold a key, the written row wins and a
/// written deletion hides it.
struct Merge<S: Iterator, W: Iterator> {
    stored: Peekable<S>,
    written: Peekable<W>,
    newest_first: bool,
}

impl<S, W> Iterator for Merge<S, W>
where
    S: Iterator<Item = RawRow>,
    W: Iterator<Item = (Vec<u8>, Option<Vec<u8>>)>,
{
    type Item = RawRow;

    fn next(&mut self) -> Option<RawRow> {
        loop {
            let order = match (self.stored.peek(), self.written.peek()) {
                (Some(Err(_)), _) | (_, None) => return self.stored.next(),
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(Ok((stored, _))), Some((written, _))) => {
                    let order = stored.cmp(written);
                    if self.newest_first { order.reverse() } else { order }
                }
            };
            if order.is_lt() {
                return self.stored.next();
            }
            if order.is_eq() {
                self.stored.next();
            }
            if let Some((key, Some(value))) = self.written.next() {
                return Some(Ok((key, value)));
            }
        }
    }
}
