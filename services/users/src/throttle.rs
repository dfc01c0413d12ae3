//! Rate limits and backoff for login attempts.
//!
//! Three scopes are counted: one address on one account, all addresses that never
//! logged in to an account on that account, and one address on all accounts. Guessing is
//! slow from wherever it is done, and a stranger cannot lock the owner out: an address
//! that logged in before is only limited by its own failures. Addresses without an
//! account count the same, so a wait does not reveal whether an account exists.
//!
//! **Invariants:** attempts of one address on one account are serialized, so concurrent
//! ones all count. E-mail and IP addresses are stored only as their MAC.

use std::net::IpAddr;
use std::time::Duration;

use chassis::Context;
use chassis::client_address::{ClientAddress, network};
use chassis::rate_limit::{self, Rule};
use model::{Time, UserId};
use store::{Read, Table, Tx};
use tokio::sync::{Mutex, MutexGuard};

use crate::Error;
use crate::challenges::CHALLENGE_LIFE;
use crate::domain::Email;
use crate::mac_keys;
use chassis::mac::MacKey;

const HOUR: Duration = Duration::from_secs(3600);

/// One address on one account.
const BACKOFF: Rule = Rule::Backoff {
    free: 5,
    first: Duration::from_secs(1),
    longest: Duration::from_secs(15 * 60),
    forgotten_after: HOUR.saturating_mul(24),
};

/// All addresses that never logged in to an account, on that account.
const UNKNOWN_ADDRESSES: Rule = Rule::Window { most: 60, span: HOUR };

/// One address on all accounts: more than the typing errors of an office, fewer than
/// password spraying needs.
const PER_ADDRESS: Rule = Rule::Window { most: 300, span: HOUR };

/// E-mail addresses that one address may claim.
const CLAIMS: Rule = Rule::Window { most: 100, span: HOUR };

/// Wrong codes of a second factor from unknown addresses, for one account. Their sender knows
/// the password: at three codes of a million that count, a year of guessing succeeds once
/// in 46 times.
const FACTOR_GUESSES: Rule = Rule::Window { most: 20, span: HOUR.saturating_mul(24) };

/// Wrong codes for one login challenge.
const CHALLENGE_TRIES: Rule = Rule::Window { most: 5, span: CHALLENGE_LIFE };

/// Codes that unknown addresses may request for one account.
const CODE_REQUESTS: Rule = Rule::Window { most: 20, span: HOUR };

/// Addresses remembered per account.
const KNOWN_MAX: usize = 16;

/// Stripes of the locks that serialize attempts. A collision costs a wait and no more.
const STRIPES: usize = 256;

/// account, MAC of an address → last login from there.
const KNOWN: Table<(UserId, Key), Time> = Table::new("known_addresses");

type Key = rate_limit::CounterKey;

/// The kind of attempt being throttled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LoginAttempt {
    /// Verifying a password; failures count.
    Password,
    /// Redeeming a one-time code; failures count.
    Code,
    /// Redeeming a code of a second factor; failures count.
    Factor,
    /// Requesting a one-time code; every request counts.
    CodeRequest,
    /// Claiming an e-mail address, for a new account or one's own; every claim counts,
    /// since a refusal reveals that the address is taken.
    Claim,
    /// Exchanging an API key; failures count.
    ApiKey,
}

/// What a counter is kept for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// One address and one account.
    Both,
    /// One account, from addresses that never logged in to it.
    Account,
    /// One address, loopback excepted.
    Address,
}

impl LoginAttempt {
    fn rules(self) -> &'static [(Scope, Rule)] {
        match self {
            Self::Password => &[
                (Scope::Both, BACKOFF),
                (Scope::Account, UNKNOWN_ADDRESSES),
                (Scope::Address, PER_ADDRESS),
            ],
            Self::Code => &[(Scope::Both, BACKOFF), (Scope::Address, PER_ADDRESS)],
            Self::Factor => &[
                (Scope::Both, BACKOFF),
                (Scope::Account, FACTOR_GUESSES),
                (Scope::Address, PER_ADDRESS),
            ],
            Self::CodeRequest => &[
                (Scope::Both, BACKOFF),
                (Scope::Account, CODE_REQUESTS),
                (Scope::Address, PER_ADDRESS),
            ],
            Self::Claim => &[(Scope::Address, CLAIMS)],
            Self::ApiKey => &[(Scope::Address, PER_ADDRESS)],
        }
    }

    /// Part of stored keys: never changes.
    fn key_part(self) -> &'static str {
        match self {
            Self::Password => "Password",
            Self::Code => "Code",
            Self::Factor => "Factor",
            Self::CodeRequest => "Letter",
            Self::Claim => "Claim",
            Self::ApiKey => "ApiKey",
        }
    }
}

impl Scope {
    /// Part of stored keys: never changes.
    fn key_part(self) -> &'static str {
        match self {
            Self::Both => "Both",
            Self::Account => "Account",
            Self::Address => "Address",
        }
    }
}

/// Counts attempts and refuses too many. One per service.
pub(crate) struct Throttle {
    key: MacKey,
    stripes: Vec<Mutex<()>>,
}

/// The account that an attempt concerns.
#[derive(Clone, Copy)]
pub(crate) struct ThrottleTarget<'a> {
    /// The address of the account, existing or not.
    pub(crate) email: Option<&'a Email>,
    /// The account, if one exists.
    pub(crate) user_id: Option<UserId>,
}

/// Every counter that one attempt concerns.
#[derive(Clone)]
pub(crate) struct AttemptCounters {
    counters: Vec<(Scope, Key, Rule)>,
    /// MAC of the client's address.
    address: Key,
    stripe: usize,
}

impl Throttle {
    /// Reads the service's MAC key, or creates it.
    pub(crate) fn open(context: &Context) -> Result<Self, chassis::Error> {
        let stripes = (0..STRIPES).map(|_| Mutex::default()).collect();
        Ok(Self { key: MacKey::open(context, mac_keys::THROTTLE)?, stripes })
    }

    /// The counters of an attempt from an address.
    pub(crate) fn counters(
        &self,
        read: &impl Read,
        attempt: LoginAttempt,
        target: ThrottleTarget<'_>,
        from: ClientAddress,
    ) -> Result<AttemptCounters, Error> {
        let account = target.email.map(Email::key).unwrap_or_default();
        let network = network_bytes(from.0);
        let address = self.key.mac(&[b"address", &network]);
        let is_known = match target.user_id {
            Some(id) => read.contains(KNOWN, &(id, address))?,
            None => false,
        };
        let counters = attempt.rules().iter().filter_map(|&(scope, rule)| {
            let name = format!("{}/{}", attempt.key_part(), scope.key_part());
            let (account, network): (&[u8], &[u8]) = match scope {
                Scope::Both => (account.as_bytes(), &network),
                Scope::Account if is_known => return None,
                Scope::Account => (account.as_bytes(), &[]),
                Scope::Address if from.0.is_loopback() => return None,
                Scope::Address => (&[], &network),
            };
            let key = self.key.mac(&[name.as_bytes(), account, network]);
            Some((scope, key, rule))
        });
        let counters = counters.collect();
        let stripe = self.key.mac(&[b"turn", account.as_bytes(), &network]);
        let stripe = usize::from(stripe[0]) % STRIPES;
        Ok(AttemptCounters { counters, address, stripe })
    }

    /// The counter of a login challenge's wrong codes, as an attempt of no address.
    pub(crate) fn challenge_tries(&self, challenge: u64) -> AttemptCounters {
        let key = self.key.mac(&[b"challenge", &challenge.to_be_bytes()]);
        let counters = vec![(Scope::Both, key, CHALLENGE_TRIES)];
        AttemptCounters { counters, address: Key::default(), stripe: 0 }
    }

    /// Waits until no other attempt of that address on that account is in progress.
    pub(crate) async fn serialize(&self, attempt: &AttemptCounters) -> MutexGuard<'_, ()> {
        self.stripes[attempt.stripe].lock().await
    }
}

/// The network of an address, as the bytes that stored MACs are over.
fn network_bytes(ip: IpAddr) -> Vec<u8> {
    let bytes = network(ip).to_be_bytes();
    if ip.to_canonical().is_ipv4() {
        bytes[12..].to_vec()
    } else {
        bytes[..8].to_vec()
    }
}

impl AttemptCounters {
    /// Refuses the attempt while a counter's limit is reached.
    ///
    /// # Errors
    /// [`Error::Throttled`] with the time to wait.
    pub(crate) fn check(&self, read: &impl Read, now: Time) -> Result<(), Error> {
        let mut wait = Duration::ZERO;
        for (_, key, rule) in &self.counters {
            wait = wait.max(rate_limit::wait(read, key, *rule, now)?);
        }
        if wait.is_zero() {
            Ok(())
        } else {
            Err(Error::Throttled(wait))
        }
    }

    /// Adds one to every counter.
    pub(crate) fn count(&self, tx: &mut Tx<'_>, now: Time) -> Result<(), store::Error> {
        for (_, key, rule) in &self.counters {
            rate_limit::count(tx, key, *rule, now)?;
        }
        Ok(())
    }

    /// Checks and counts one attempt.
    pub(crate) fn check_and_count(&self, tx: &mut Tx<'_>, now: Time) -> Result<(), Error> {
        self.check(tx, now)?;
        Ok(self.count(tx, now)?)
    }

    /// Runs `work` and counts it, even if the address it claims is taken; `None` then.
    pub(crate) fn claim<T>(
        &self,
        tx: &mut Tx<'_>,
        now: Time,
        work: impl FnOnce(&mut Tx<'_>) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        self.check_and_count(tx, now)?;
        match tx.attempt(work) {
            Err(Error::EmailTaken) => Ok(None),
            done => done.map(Some),
        }
    }

    /// Resets the failures of this address on this account, after a success.
    pub(crate) fn clear(&self, tx: &mut Tx<'_>) -> Result<(), store::Error> {
        for (scope, key, rule) in &self.counters {
            if *scope == Scope::Both {
                rate_limit::clear(tx, key, *rule)?;
            }
        }
        Ok(())
    }

    /// Remembers that the account was logged in to from this address.
    pub(crate) fn remember(
        &self,
        tx: &mut Tx<'_>,
        user_id: UserId,
        now: Time,
    ) -> Result<(), store::Error> {
        let rows = tx.scan(KNOWN.prefix(&user_id))?;
        let mut known = rows.collect::<Result<Vec<_>, _>>()?;
        known.retain(|((_, address), _)| *address != self.address);
        known.sort_by_key(|(_, last)| *last);
        let excess = (known.len() + 1).saturating_sub(KNOWN_MAX);
        for (key, _) in known.drain(..excess) {
            tx.delete(KNOWN, &key)?;
        }
        tx.put(KNOWN, &(user_id, self.address), &now)
    }
}

/// Deletes the remembered addresses of an account.
pub(crate) fn forget(tx: &mut Tx<'_>, user_id: UserId) -> Result<(), store::Error> {
    let rows = tx.scan(KNOWN.prefix(&user_id))?;
    for (key, _) in rows.collect::<Result<Vec<_>, _>>()? {
        tx.delete(KNOWN, &key)?;
    }
    Ok(())
}
