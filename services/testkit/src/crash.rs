//! Crash tests of a store: a write load, the process that runs it until it is killed, and
//! the audit of the store it leaves.
//!
//! Many clients write transactions over four redundant tables: the log by sequence number,
//! each entity's latest state, an index of its entries and an account of them. The log
//! alone determines the other three, so the audit replays it and compares row by row: a
//! torn transaction is found in whichever table it broke.
//!
//! The store's kill test (SIGKILL) and the bench's power cuts share this load.
//!
//! **Invariant:** a transaction is acknowledged on standard output only after the store
//! has acknowledged it.

mod audit;
mod victim;

use std::fmt;
use std::io::Write;
use std::path::Path;
use std::str::FromStr;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};
use store::{Error, Options, Read, Record, Store, Table, Tx, VALUE_BYTES_MAX};

pub use audit::{Audit, audit_copy};
pub use victim::Victim;

const CLIENTS: u64 = 64;
const ENTITIES: u64 = 192;

/// Entities whose state has exactly the largest size of a value, so that whole leaves of
/// the tree consist of such values.
const FULL_ENTITIES: u64 = 24;

const LOG: Table<u64, Entry> = Table::new("log");
const STATE: Table<u64, State> = Table::new("state");
const INDEX: Table<(u64, u64), String> = Table::new("index");
const ACCOUNT: Table<u64, Account> = Table::new("account");

/// One change of an entity, under its sequence number.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    entity: u64,
    /// The entity's rows were deleted from the other three tables.
    closed: bool,
    state_bytes: usize,
    body: String,
}
impl Record for Entry {}

/// An entity as its latest entry left it.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct State {
    seq: u64,
    body: String,
}
impl Record for State {}

/// How many entries of an entity there are since it was last closed, and their
/// bodies' bytes.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Account {
    entries: u64,
    body_bytes: usize,
}
impl Record for Account {}

/// An acknowledged transaction, as the victim prints it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ack {
    seq: u64,
    entity: u64,
    body_bytes: usize,
}

impl fmt::Display for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ACK {} {} {}", self.seq, self.entity, self.body_bytes)
    }
}

impl FromStr for Ack {
    type Err = ();

    fn from_str(line: &str) -> Result<Self, ()> {
        let mut fields = line.strip_prefix("ACK ").ok_or(())?.split(' ');
        let mut number = || fields.next().and_then(|field| field.parse().ok()).ok_or(());
        let (seq, entity, body_bytes) = (number()?, number()?, number()?);
        let body_bytes = usize::try_from(body_bytes).map_err(|_| ())?;
        Ok(Self { seq, entity, body_bytes })
    }
}

/// Opens `dir` and writes to it until this process is killed or the store fails. Prints
/// to standard output when it begins to open, when it is open, and each acknowledged
/// transaction.
///
/// # Errors
/// When the store does not open, or fails under the load.
pub fn load(dir: &Path, seed: u64, options: &Options) -> Result<(), Error> {
    // The test harness may have left a line unfinished.
    print("\nOPENING");
    let store = Store::open(dir, options)?;
    print("OPEN");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(|error| Error::io(dir, "its log", &error))?;
    runtime.block_on(async {
        let mut clients = tokio::task::JoinSet::new();
        for client in 0..CLIENTS {
            let random = StdRng::seed_from_u64(seed.wrapping_mul(CLIENTS).wrapping_add(client));
            clients.spawn(write_forever(store.clone(), random));
        }
        match clients.join_next().await {
            Some(Ok(Err(error))) => Err(error),
            ended => unreachable!("a client ends only with an error: {ended:?}"),
        }
    })
}

async fn write_forever(store: Store, mut random: StdRng) -> Result<(), Error> {
    loop {
        let entity = random.random_range(0..ENTITIES);
        let body_bytes = match random.random_range(0..60) {
            0 => random.random_range(0..VALUE_BYTES_MAX - 100),
            _ => random.random_range(0..700),
        };
        let state_bytes = random.random_range(0..2_000);
        let (closed, refused) = (random.random_bool(0.03), random.random_bool(0.05));
        let deferred = random.random_bool(0.3);
        let work = move |tx: &mut Tx<'_>| {
            let ack = transact(tx, entity, closed, body_bytes, state_bytes)?;
            // A refusal after all its writes: nothing of it may stay.
            if refused { Err(Refusal::Asked) } else { Ok(ack) }
        };
        let written = match deferred {
            true => store.write_deferred(work).await,
            false => store.write(work).await,
        };
        match written {
            // It may be lost, but only as a whole.
            Ok(_) if deferred => {}
            Ok(ack) => print(&ack.to_string()),
            Err(Refusal::Asked) => {}
            Err(Refusal::Store(error)) => return Err(error),
        }
    }
}

enum Refusal {
    Asked,
    Store(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

fn transact(
    tx: &mut Tx<'_>,
    entity: u64,
    closed: bool,
    body_bytes: usize,
    state_bytes: usize,
) -> Result<Ack, Error> {
    let last = tx.scan(LOG.all().newest_first())?.next().transpose()?;
    let seq = last.map_or(0, |(seq, _)| seq) + 1;
    let state_bytes = if entity < FULL_ENTITIES {
        state_bytes_at_the_cap(seq)
    } else {
        state_bytes
    };
    let body = body(seq, body_bytes);
    tx.put(LOG, &seq, &Entry { entity, closed, state_bytes, body })?;
    if closed {
        let entries: Vec<_> = tx.scan(INDEX.prefix(&entity))?.collect::<Result<_, _>>()?;
        for (key, _) in entries {
            tx.delete(INDEX, &key)?;
        }
        tx.delete(STATE, &entity)?;
        tx.delete(ACCOUNT, &entity)?;
    } else {
        tx.put(STATE, &entity, &state(seq, state_bytes))?;
        tx.put(INDEX, &(entity, seq), &index(seq))?;
        let mut account = tx.get(ACCOUNT, &entity)?.unwrap_or_default();
        account.entries += 1;
        account.body_bytes += body_bytes;
        tx.put(ACCOUNT, &entity, &account)?;
    }
    Ok(Ack { seq, entity, body_bytes })
}

fn state(seq: u64, bytes: usize) -> State {
    State { seq, body: body(seq, bytes) }
}

fn index(seq: u64) -> String {
    body(seq, 64)
}

/// The length of the body with which a state's record has the largest size of a value.
fn state_bytes_at_the_cap(seq: u64) -> usize {
    let empty = store::encode(&state(seq, 0)).map_or(0, |bytes| bytes.len());
    // MessagePack encodes the length of such a text in two more bytes.
    VALUE_BYTES_MAX - empty - 2
}

/// Text that is unique to this sequence number and differs in each of its blocks.
fn body(seq: u64, bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 16);
    let mut block = seq;
    while text.len() < bytes {
        block = block
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(seq | 1);
        text.push_str(&format!("{block:016x}"));
    }
    text.truncate(bytes);
    text
}

/// Prints and flushes a line: the process may be killed at any moment after it.
fn print(line: &str) {
    let mut out = std::io::stdout().lock();
    // A closed pipe does not stop the load.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
