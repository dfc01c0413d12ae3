//! Password hashing: argon2id (RFC 9106) with bounded memory, cores and queue.
//!
//! A hash takes tens of milliseconds of a core and tens of MiB by design. So hashes run on threads
//! of their own, at the lowest priority, where they take the cores that nothing else needs;
//! concurrent ones fit a part of the memory, a bounded queue waits, and further requests are
//! refused as busy. **Invariant:** a login with an unknown address costs one verification, like
//! every other.

mod phc;
mod threads;

use std::path::Path;
use std::sync::Arc;

use argon2::Params;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::phc::HashMemory;
use self::threads::HashThreads;
use crate::Error;
use crate::config::PasswordConfig;
use crate::domain::PlaintextPassword;

/// Length of the queue. On a slow core that is half a minute of work, which is a
/// request's timeout.
const WAITING_MAX: usize = 64;

/// Hashes get at most one part in this many of the memory.
const MEMORY_PART: u64 = 4;

/// Hashes and verifies. One a service.
pub(crate) struct Hasher {
    params: Params,
    /// A hash that no password matches, verified in slot of a missing account's.
    decoy: String,
    admitted: Arc<Semaphore>,
    threads: HashThreads,
}

/// A slot in the queue, held by one request.
#[derive(Clone)]
pub(crate) struct HashSlot(Arc<OwnedSemaphorePermit>);

/// A stored password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredPassword {
    /// argon2id, as a PHC string.
    pub(crate) hash: String,
    /// Counts the passwords of an account. A rehash of the same password keeps the
    /// generation, so a concurrent verification of the old hash stays valid.
    pub(crate) generation: u32,
}

impl store::Record for StoredPassword {
    const VERSION: u8 = 2;

    /// Version 1 was the hash alone.
    fn upgrade(version: u8, body: &[u8]) -> Result<Self, String> {
        let hash = store::decode(&[&[version], body].concat())?;
        Ok(Self { hash, generation: 0 })
    }
}

/// A successful verification.
pub(crate) struct Verified {
    /// Generation of the password that was verified.
    pub(crate) generation: u32,
    /// A rehash with the current parameters, where the stored one used weaker ones.
    pub(crate) stronger: Option<String>,
}

impl Hasher {
    /// Creates a hasher with the configured parameters.
    pub(crate) async fn new(config: &PasswordConfig) -> Result<Self, Error> {
        let params = Params::new(config.memory_kib, config.iterations, 1, None)
            .map_err(|error| Error::Hashing(error.to_string()))?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let in_memory = fitting(memory_kib(), config.memory_kib);
        let threads = HashThreads::start(cores, in_memory, WAITING_MAX)
            .await
            .map_err(|error| Error::Hashing(error.to_string()))?;
        Ok(Self {
            decoy: phc::decoy(&params),
            params,
            admitted: Arc::new(Semaphore::new(threads.count() + WAITING_MAX)),
            threads,
        })
    }

    /// Takes a slot in the queue; called before anything else is awaited.
    ///
    /// # Errors
    /// [`Error::Busy`] when too many wait.
    pub(crate) fn admit(&self) -> Result<HashSlot, Error> {
        let permit = self.admitted.clone().try_acquire_owned();
        Ok(HashSlot(Arc::new(permit.map_err(|_| Error::Busy)?)))
    }

    /// Hashes a password into a PHC string.
    pub(crate) async fn hash(
        &self,
        slot: HashSlot,
        password: PlaintextPassword,
    ) -> Result<String, Error> {
        let hash = move |memory: &mut HashMemory, params: &Params| {
            phc::hash(memory, params, password.as_bytes())
        };
        self.run(slot, hash).await
    }

    /// Verifies a password against its stored hash. Without a stored one it takes as
    /// long and fails.
    ///
    /// # Errors
    /// [`Error::WrongCredentials`] when it is not.
    pub(crate) async fn verify(
        &self,
        slot: HashSlot,
        password: PlaintextPassword,
        stored: Option<StoredPassword>,
    ) -> Result<Verified, Error> {
        let generation = stored.as_ref().map(|stored| stored.generation);
        let hash = stored.map_or_else(|| self.decoy.clone(), |stored| stored.hash);
        let verify = move |memory: &mut HashMemory, params: &Params| {
            phc::verify(memory, params, password.as_bytes(), &hash)
        };
        let stronger = self.run(slot, verify).await?;
        let generation = generation.ok_or(Error::WrongCredentials)?;
        Ok(Verified { generation, stronger })
    }

    async fn run<T: Send + 'static>(
        &self,
        slot: HashSlot,
        work: impl FnOnce(&mut HashMemory, &Params) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let params = self.params.clone();
        // The slot moves along: a caller that goes away does not free a place in the queue
        // that its hash still has.
        let work = move |memory: &mut HashMemory| {
            let _permit = slot.0;
            work(memory, &params)
        };
        let stopped = || Error::Hashing("a thread that hashes has stopped".into());
        self.threads.run(work).await.ok_or_else(stopped)?
    }
}

/// How many concurrent hashes fit the memory.
fn fitting(memory_kib: Option<u64>, hash_kib: u32) -> usize {
    let fit = memory_kib.map(|memory| memory / MEMORY_PART / u64::from(hash_kib.max(1)));
    let fit = fit.and_then(|fit| usize::try_from(fit).ok());
    fit.unwrap_or(usize::MAX).max(1)
}

/// The memory this process may use: the machine's, or its control group's limit if that
/// is lower. `None` where neither can be read.
fn memory_kib() -> Option<u64> {
    let machine = std::fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix("MemTotal:"))?;
            line.trim().trim_end_matches("kB").trim().parse().ok()
        });
    machine.into_iter().chain(group_kib()).min()
}

/// The lowest limit of this process's control group and its ancestors (cgroups(7),
/// version 2). In a container the visible root is the container's own group.
fn group_kib() -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let limits = Path::new(own).ancestors().filter_map(|group| {
        let file = Path::new("/sys/fs/cgroup").join(group).join("memory.max");
        // A group without a limit has `max`.
        let bytes: u64 = std::fs::read_to_string(file).ok()?.trim().parse().ok()?;
        Some(bytes / 1024)
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn hash(hasher: &Hasher, text: &str) -> Result<String, Error> {
        hasher
            .hash(hasher.admit()?, PlaintextPassword::attempt(text))
            .await
    }

    #[tokio::test]
    async fn raised_parameters_make_a_stronger_hash() {
        let config = PasswordConfig::default();
        let hasher = Hasher::new(&config).await.unwrap();
        let stored = hash(&hasher, "kittens7").await.unwrap();
        assert!(
            stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{stored}"
        );
        let verify = async |hasher: &Hasher, text, hash: Option<String>| {
            let stored = hash.map(|hash| StoredPassword { hash, generation: 7 });
            let slot = hasher.admit().unwrap();
            let password = PlaintextPassword::attempt(text);
            hasher.verify(slot, password, stored).await
        };
        let same = verify(&hasher, "kittens7", Some(stored.clone()))
            .await
            .unwrap();
        assert!(same.stronger.is_none() && same.generation == 7);
        for (text, stored) in [("kittens8", Some(stored.clone())), ("kittens7", None)] {
            let refused = verify(&hasher, text, stored).await;
            assert!(matches!(refused, Err(Error::WrongCredentials)));
        }

        let raised = PasswordConfig { iterations: 3, ..config };
        let hasher = Hasher::new(&raised).await.unwrap();
        let raised = verify(&hasher, "kittens7", Some(stored)).await.unwrap();
        let stronger = raised.stronger.unwrap();
        assert!(stronger.contains("t=3"), "{stronger}");
        assert!(verify(&hasher, "kittens7", Some(stronger)).await.is_ok());
    }

    #[tokio::test]
    async fn a_full_queue_refuses() {
        let hasher = Hasher::new(&PasswordConfig::default()).await.unwrap();
        let everyone = hasher.admitted.available_permits();
        let taken: Vec<_> = (0..everyone).map(|_| hasher.admit().unwrap()).collect();
        let refused = hash(&hasher, "kittens7").await;
        assert!(matches!(refused, Err(Error::Busy)));
        drop(taken);
        assert!(hash(&hasher, "kittens7").await.is_ok());
    }

    /// The exact bytes on disk: a change here is a change of format.
    #[test]
    fn golden_bytes() {
        let stored = StoredPassword { hash: "$argon2id".into(), generation: 1 };
        let golden = b"\x02\x82\xa4hash\xa9$argon2id\xaageneration\x01";
        assert_eq!(store::encode(&stored).unwrap(), golden);
        assert_eq!(store::decode::<StoredPassword>(golden).unwrap(), stored);
        let first = StoredPassword { generation: 0, ..stored };
        let bytes = store::encode(&first.hash).unwrap();
        assert_eq!(store::decode::<StoredPassword>(&bytes).unwrap(), first);
        assert!(store::decode::<StoredPassword>(b"\x03\xa1x").is_err());
    }

    #[test]
    fn memory_bounds_concurrency() {
        const GIB: u64 = 1024 * 1024;
        for (memory, hash, expected) in [
            (Some(GIB), 19_456, 13),
            (Some(GIB / 4), 19_456, 3),
            (Some(GIB / 4), 1_048_576, 1),
            (None, 19_456, usize::MAX),
        ] {
            assert_eq!(fitting(memory, hash), expected, "{memory:?}");
        }
    }
}
