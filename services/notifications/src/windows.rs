//! Windows: the notifications of one kind that one member of staff gets within a while. When
//! they are many, most of them become one, by mail and in the inbox.
//!
//! **Invariant:** a window is one row for each kind and member of staff, whatever comes.

use std::time::Duration;

use ::store::{Error as StoreError, Read, Record, Table, Tx};
use model::{Time, UserId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// How long notifications of a kind are counted together.
const WINDOW: Duration = Duration::from_secs(10 * 60);

/// (user, kind) → the latest window.
pub(crate) type Windows<I> = Table<(UserId, String), NoticeWindow<I>>;

/// The notifications of a kind to a person since a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NoticeWindow<I> {
    pub(crate) began_at: Time,
    /// Notifications that stand by themselves.
    single: u32,
    /// What counts the others.
    pub(crate) digest: Option<I>,
}

impl<I: Serialize + DeserializeOwned> Record for NoticeWindow<I> {}

impl<I: Serialize + DeserializeOwned> NoticeWindow<I> {
    /// The window that is open at `at`: the latest one, or one that begins.
    pub(crate) fn open(
        from: &impl Read,
        windows: Windows<I>,
        key: &(UserId, String),
        at: Time,
    ) -> Result<Self, StoreError> {
        let latest = from.get(windows, key)?;
        let is_open = |window: &Self| at < window.ends_at();
        Ok(latest
            .filter(is_open)
            .unwrap_or(Self { began_at: at, single: 0, digest: None }))
    }

    pub(crate) fn ends_at(&self) -> Time {
        self.began_at.after(WINDOW)
    }

    /// Whether one more stands by itself, which is then counted as such.
    pub(crate) fn takes_single(&mut self, single_max: u32) -> bool {
        let takes = self.single < single_max;
        self.single += u32::from(takes);
        takes
    }
}

/// Deletes the windows of an erased person.
pub(crate) fn forget<I: Serialize + DeserializeOwned>(
    tx: &mut Tx<'_>,
    windows: Windows<I>,
    user: UserId,
) -> Result<(), StoreError> {
    let rows: Vec<_> = tx.scan(windows.prefix(&user))?.collect::<Result<_, _>>()?;
    for (key, _) in rows {
        tx.delete(windows, &key)?;
    }
    Ok(())
}
