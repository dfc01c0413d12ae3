//! Cursors: how far each follower has applied its source's log.

use std::fmt;
use std::sync::Arc;

use store::{Read, Table, Tx};

use crate::Mark;

/// Follower → the last event whose effect is in this store.
const CURSORS: Table<String, Mark> = Table::new("cursors");

/// Names one follower of one source, `main/orders`: a store can follow a source for
/// several purposes.
#[derive(Debug, Clone)]
pub(crate) struct FollowerId(Arc<str>);

impl FollowerId {
    pub(crate) fn new(name: &str, source: &str) -> Self {
        Self(format!("{name}/{source}").into())
    }

    /// The follower's name, without its source.
    pub(crate) fn name(&self) -> &str {
        self.0.split('/').next().unwrap_or_default()
    }

    /// The id as a key, or the first part of one.
    pub(crate) fn key(&self) -> String {
        self.0.to_string()
    }
}

impl fmt::Display for FollowerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The last event whose effect is in the store.
pub(crate) fn read(from: &impl Read, follower: &FollowerId) -> Result<Mark, store::Error> {
    Ok(from.get(CURSORS, &follower.key())?.unwrap_or_default())
}

/// Moves the cursor, in the transaction of the effect.
pub(crate) fn write(
    tx: &mut Tx<'_>,
    follower: &FollowerId,
    cursor: &Mark,
) -> Result<(), store::Error> {
    tx.put(CURSORS, &follower.key(), cursor)
}
