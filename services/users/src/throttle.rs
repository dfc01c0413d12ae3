//! How often somebody may fail, and how long they wait after that.
//!
//! Three things are counted: what one address tries on one account, what all
//! addresses that never logged in to an account try on it, and what one address
//! tries on all accounts. So guessing is slow from wherever it is done, and a
//! stranger cannot keep the owner out: an address that logged in before is only
//! held to its own failures. Addresses that nobody has an account with count the
//! same, so nobody learns from a wait who has one.
//!
//! **Invariants:** one address tries one account one at a time, so as many at
//! once count as many. An e-mail or IP address is kept only as its keyed hash.

mod counters;
mod rule;

use std::net::IpAddr;
use std::time::Duration;

use chassis::Context;
use chassis::http::ClientAddress;
use model::{Id, Time, kinds};
use store::{Read, Table, Tx};
use tokio::sync::{Mutex, MutexGuard};

use crate::Error;
use crate::domain::Email;
use crate::keyed::Keyed;
use rule::Rule;

const HOUR: Duration = Duration::from_secs(3600);

/// One address on one account.
const BACKOFF: Rule = Rule::Backoff {
    free: 5,
    first: Duration::from_secs(1),
    longest: Duration::from_secs(15 * 60),
    forgotten_after: HOUR.saturating_mul(24),
};

/// Every address that never logged in to an account, on that account.
const STRANGERS: Rule = Rule::Window { most: 60, span: HOUR };

/// One address on all accounts: more than an office's people mistype, fewer than
/// trying one password on everybody takes.
const EVERYBODY: Rule = Rule::Window { most: 300, span: HOUR };

/// E-mail addresses that one address may claim.
const CLAIMS: Rule = Rule::Window { most: 100, span: HOUR };

/// Codes that strangers may have sent to one account.
const LETTERS: Rule = Rule::Window { most: 20, span: HOUR };

/// How many addresses an account remembers to have been logged in from.
const KNOWN_MAX: usize = 16;

/// Turns are shared by chance among so many, which costs a wait and no more.
const TURNS: usize = 256;

/// account, address → when it last logged in from there.
const KNOWN: Table<(UserId, Key), Time> = Table::new("known_addresses");

type UserId = Id<kinds::User>;
type Key = [u8; 16];

/// What is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// A password; counts those that were wrong.
    Password,
    /// A one-time code; counts those that were wrong.
    Code,
    /// Having a code sent; counts all.
    Letter,
    /// Claiming an e-mail address, for a new account or for one's own; counts all,
    /// since a refusal tells that somebody has it.
    Claim,
}

/// Over what is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    /// One address and one account.
    Both,
    /// One account, from addresses that never logged in to it.
    Account,
    /// One address, unless it is this host's.
    Address,
}

impl Door {
    fn rules(self) -> &'static [(Over, Rule)] {
        match self {
            Self::Password => &[
                (Over::Both, BACKOFF),
                (Over::Account, STRANGERS),
                (Over::Address, EVERYBODY),
            ],
            Self::Code => &[(Over::Both, BACKOFF), (Over::Address, EVERYBODY)],
            Self::Letter => &[
                (Over::Both, BACKOFF),
                (Over::Account, LETTERS),
                (Over::Address, EVERYBODY),
            ],
            Self::Claim => &[(Over::Address, CLAIMS)],
        }
    }
}

/// Counts and decides. One a service.
pub(crate) struct Throttle {
    keyed: Keyed,
    turns: Vec<Mutex<()>>,
}

/// Somebody at a door: every count that is about them.
#[derive(Clone)]
pub(crate) struct Attempt {
    counts: Vec<(Over, Key, Rule)>,
    /// The address, as an account remembers it.
    address: Key,
    turn: usize,
}

impl Throttle {
    /// With the service's own secret.
    ///
    /// # Errors
    /// When it cannot be kept or read.
    pub(crate) fn open(context: &Context) -> Result<Self, chassis::Error> {
        Ok(Self::new(Keyed::open(context, "throttle")?))
    }

    fn new(keyed: Keyed) -> Self {
        let turns = (0..TURNS).map(|_| Mutex::default()).collect();
        Self { keyed, turns }
    }

    /// Somebody at a door, for the account of an e-mail address if there is one.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn attempt(
        &self,
        read: &impl Read,
        door: Door,
        email: Option<&Email>,
        user_id: Option<UserId>,
        from: ClientAddress,
    ) -> Result<Attempt, Error> {
        let account = email.map(Email::key).unwrap_or_default();
        let network = network(from.0);
        let address = self.keyed.hash(&[b"address", &network]);
        let is_known = match user_id {
            Some(id) => read.contains(KNOWN, &(id, address))?,
            None => false,
        };
        let counts = door.rules().iter().filter_map(|&(over, rule)| {
            let name = format!("{door:?}/{over:?}");
            let (account, network): (&[u8], &[u8]) = match over {
                Over::Both => (account.as_bytes(), &network),
                Over::Account if is_known => return None,
                Over::Account => (account.as_bytes(), &[]),
                Over::Address if from.0.is_loopback() => return None,
                Over::Address => (&[], &network),
            };
            let key = self.keyed.hash(&[name.as_bytes(), account, network]);
            Some((over, key, rule))
        });
        let turn = self.keyed.hash(&[b"turn", account.as_bytes(), &network]);
        Ok(Attempt {
            counts: counts.collect(),
            address,
            turn: usize::from(turn[0]) % TURNS,
        })
    }

    /// Waits until no other attempt from there on that account is going on.
    pub(crate) async fn turn(&self, attempt: &Attempt) -> MutexGuard<'_, ()> {
        self.turns[attempt.turn].lock().await
    }
}

/// What counts as one address: an IPv6 customer has a whole /64 (RFC 6177 §2).
fn network(ip: IpAddr) -> Vec<u8> {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets()[..8].to_vec(),
    }
}

impl Attempt {
    /// Whether it may be made.
    ///
    /// # Errors
    /// [`Error::Throttled`] with how long to wait.
    pub(crate) fn check(&self, read: &impl Read, now: Time) -> Result<(), Error> {
        let mut wait = Duration::ZERO;
        for (_, key, rule) in &self.counts {
            wait = wait.max(counters::wait(read, key, *rule, now)?);
        }
        if wait.is_zero() {
            Ok(())
        } else {
            Err(Error::Throttled(wait))
        }
    }

    /// It counts.
    pub(crate) fn count(&self, tx: &mut Tx<'_>, now: Time) -> Result<(), ::store::Error> {
        for (_, key, rule) in &self.counts {
            counters::count(tx, key, *rule, now)?;
        }
        Ok(())
    }

    /// Does `work` and counts it, also where the e-mail address it claims turns out
    /// to be taken; `None` then.
    pub(crate) fn claim<T>(
        &self,
        tx: &mut Tx<'_>,
        now: Time,
        work: impl FnOnce(&mut Tx<'_>) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        self.check(tx, now)?;
        self.count(tx, now)?;
        match tx.attempt(work) {
            Err(Error::EmailTaken) => Ok(None),
            done => done.map(Some),
        }
    }

    /// It succeeded: what this address did wrong on this account is forgotten.
    pub(crate) fn clear(&self, tx: &mut Tx<'_>) -> Result<(), ::store::Error> {
        for (over, key, rule) in &self.counts {
            if *over == Over::Both {
                counters::clear(tx, key, *rule)?;
            }
        }
        Ok(())
    }

    /// The account was logged in to from this address.
    pub(crate) fn remember(
        &self,
        tx: &mut Tx<'_>,
        user_id: UserId,
        now: Time,
    ) -> Result<(), ::store::Error> {
        let rows = tx.scan(KNOWN.prefix(&user_id))?;
        let mut known = rows.collect::<Result<Vec<_>, _>>()?;
        known.retain(|((_, address), _)| *address != self.address);
        known.sort_by_key(|(_, last)| *last);
        let too_many = (known.len() + 1).saturating_sub(KNOWN_MAX);
        for (key, _) in known.drain(..too_many) {
            tx.delete(KNOWN, &key)?;
        }
        tx.put(KNOWN, &(user_id, self.address), &now)
    }
}

/// Forgets where an account was logged in from.
pub(crate) fn forget(tx: &mut Tx<'_>, user_id: UserId) -> Result<(), ::store::Error> {
    let rows = tx.scan(KNOWN.prefix(&user_id))?;
    for (key, _) in rows.collect::<Result<Vec<_>, _>>()? {
        tx.delete(KNOWN, &key)?;
    }
    Ok(())
}
