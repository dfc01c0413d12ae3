//! The audit of a store after its process was killed: every acknowledged transaction must
//! be in the log, and the other tables must agree with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use crate::damage::copy_folder;
use store::{Error, Options, Read, Store};

use super::{ACCOUNT, Account, Ack, INDEX, LOG, STATE, body, index, state};

/// An audit's findings.
#[derive(Debug, Default)]
pub struct Audit {
    /// Transactions in the log.
    pub entries: u64,
    /// Acknowledged transactions that are missing or have another content.
    pub lost: usize,
    /// Rows that contradict the log, described.
    pub torn: Vec<String>,
}

impl Audit {
    /// Whether nothing is lost or torn.
    pub fn is_clean(&self) -> bool {
        self.lost == 0 && self.torn.is_empty()
    }
}

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { entries, lost, torn } = self;
        write!(f, "{entries} entries, {lost} lost, {} torn", torn.len())?;
        torn.iter()
            .take(5)
            .try_for_each(|why| write!(f, "\n  {why}"))
    }
}

/// Audits a copy of `dir` made in `scratch`, so that the next process to open `dir` does
/// the recovery itself.
///
/// # Errors
/// When the store does not open or cannot be read.
pub fn audit_copy(dir: &Path, scratch: &Path, acked: &[Ack]) -> Result<Audit, Error> {
    let copy = scratch.join("copy");
    let io = |error: io::Error| Error::io(&copy, "its copy", &error);
    if copy.exists() {
        fs::remove_dir_all(&copy).map_err(io)?;
    }
    copy_folder(dir, &copy).map_err(io)?;
    let store = Store::open(&copy, &Options::default())?;
    let found = audit(&store, acked);
    store.close();
    found
}

/// The content that the log implies for the other tables.
#[derive(Default)]
struct Expected {
    /// By entity: its latest entry and that entry's `state_bytes`.
    states: BTreeMap<u64, (u64, usize)>,
    index: BTreeSet<(u64, u64)>,
    accounts: BTreeMap<u64, Account>,
}

fn audit(store: &Store, acked: &[Ack]) -> Result<Audit, Error> {
    let mut found = Audit::default();
    let mut expected = Expected::default();
    let mut log = BTreeMap::new();
    for row in store.scan(LOG.all())? {
        let (seq, entry) = row?;
        found.entries += 1;
        if seq != found.entries {
            found
                .torn
                .push(format!("log: {seq} where {} is due", found.entries));
            found.entries = seq;
        }
        let ack = Ack { seq, entity: entry.entity, body_bytes: entry.body.len() };
        if entry.body != body(seq, ack.body_bytes) {
            found.torn.push(format!("log: {seq} has a foreign body"));
        }
        log.insert(seq, ack);
        expected.apply(ack, entry.closed, entry.state_bytes);
    }
    found.lost = acked
        .iter()
        .filter(|ack| log.get(&ack.seq) != Some(ack))
        .count();
    expected.compare(store, &mut found)?;
    Ok(found)
}

impl Expected {
    fn apply(&mut self, ack: Ack, closed: bool, state_bytes: usize) {
        let Ack { seq, entity, body_bytes } = ack;
        if closed {
            self.states.remove(&entity);
            self.accounts.remove(&entity);
            self.index.retain(|(of, _)| *of != entity);
        } else {
            self.states.insert(entity, (seq, state_bytes));
            self.index.insert((entity, seq));
            let account = self.accounts.entry(entity).or_default();
            account.entries += 1;
            account.body_bytes += body_bytes;
        }
    }

    /// Removes each row that is found; the rest is missing.
    fn compare(mut self, store: &Store, found: &mut Audit) -> Result<(), Error> {
        for row in store.scan(STATE.all())? {
            let (entity, stored) = row?;
            let due = self.states.remove(&entity);
            if due.is_none_or(|(seq, bytes)| stored != state(seq, bytes)) {
                let due = due.map(|(seq, _)| seq);
                found
                    .torn
                    .push(format!("state: {entity} is at {}, due {due:?}", stored.seq));
            }
        }
        for row in store.scan(INDEX.all())? {
            let (key, text) = row?;
            if !self.index.remove(&key) || text != index(key.1) {
                found.torn.push(format!("index: {key:?} is not due"));
            }
        }
        for row in store.scan(ACCOUNT.all())? {
            let (entity, account) = row?;
            let due = self.accounts.remove(&entity);
            if due.as_ref() != Some(&account) {
                found
                    .torn
                    .push(format!("account: {entity} has {account:?}, due {due:?}"));
            }
        }
        let missing = [self.states.len(), self.index.len(), self.accounts.len()];
        if missing != [0; 3] {
            found.torn.push(format!(
                "missing rows of state, index, account: {missing:?}"
            ));
        }
        Ok(())
    }
}
