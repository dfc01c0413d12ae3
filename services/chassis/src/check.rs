//! Consistency checks: each service compares its tables with each other, and its log with
//! the log's hashes. The control socket runs them at `/control/check`.
//!
//! **Invariant:** a check only reads, and reports faults of one moment: rows that changed
//! during the comparison are compared again within a transaction.

use std::sync::Arc;

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::future::BoxFuture;
use mesh::{FollowerState, Following, Log};
use parking_lot::Mutex;
use serde::Serialize;
use store::{Store, Tx};

use crate::{Json, Problem};

/// The dead letters of a follower that are counted.
const DEAD_LETTERS_MAX: usize = 10_000;

/// Faults that are described; all are counted.
const EXAMPLES_MAX: usize = 20;

/// The result of one comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The name of the comparison.
    what: &'static str,
    /// The number of items compared.
    compared: u64,
    /// The number of faulty items.
    faults: u64,
    /// Descriptions of the first faults.
    examples: Vec<String>,
}

impl Finding {
    /// A comparison of nothing yet.
    pub fn of(what: &'static str) -> Self {
        Self { what, compared: 0, faults: 0, examples: Vec::new() }
    }

    /// Counts an item.
    pub fn compare(&mut self) {
        self.compared += 1;
    }

    /// Counts a fault of the current item.
    pub fn fault(&mut self, why: impl Into<String>) {
        self.faults += 1;
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(why.into());
        }
    }

    /// The number of items compared.
    pub fn compared(&self) -> u64 {
        self.compared
    }

    /// Whether there are no faults.
    pub fn is_well(&self) -> bool {
        self.faults == 0
    }
}

type Comparison =
    Box<dyn Fn() -> BoxFuture<'static, Result<Vec<Finding>, store::Error>> + Send + Sync>;

/// The consistency checks of a service. Cheap to clone.
#[derive(Clone, Default)]
pub struct Checks(Arc<Mutex<Vec<Arc<Comparison>>>>);

impl Checks {
    /// Adds a comparison.
    pub fn add<F>(&self, check: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = Result<Vec<Finding>, store::Error>> + Send + 'static,
    {
        let check: Comparison = Box::new(move || Box::pin(check()));
        self.0.lock().push(Arc::new(check));
    }

    /// Adds the comparison of the database with what was written to it.
    pub(crate) fn add_store(&self, store: Store) {
        self.add(move || {
            let store = store.clone();
            blocking(move || {
                let mut finding = Finding::of("database");
                finding.compare();
                let faults = store.verify()?;
                faults.into_iter().for_each(|fault| finding.fault(fault));
                Ok(vec![finding])
            })
        });
    }

    /// Adds the look at the followers: they go on, and have no dead letters.
    pub(crate) fn add_followers(
        &self,
        followings: impl Fn() -> Vec<Following> + Send + Sync + 'static,
    ) {
        self.add(move || {
            let followings = followings();
            blocking(move || {
                let mut finding = Finding::of("followers");
                for following in followings {
                    finding.compare();
                    look_at(&following, &mut finding)?;
                }
                Ok(vec![finding])
            })
        });
    }

    /// Adds the comparison of a log with its own hashes.
    pub(crate) fn add_log(&self, log: Log) {
        self.add(move || {
            let log = log.clone();
            blocking(move || {
                let mut finding = Finding::of("log");
                let faults = log.verify(|| finding.compare())?;
                faults.into_iter().for_each(|fault| finding.fault(fault));
                Ok(vec![finding])
            })
        });
    }

    /// The control socket's route.
    pub(crate) fn router(&self) -> Router {
        let checks = self.clone();
        Router::new().route("/control/check", get(move || checks.answer()))
    }

    async fn answer(self) -> Result<Response, Problem> {
        let checks = self.0.lock().clone();
        let mut findings = Vec::new();
        for check in checks {
            findings.extend(check().await?);
        }
        Ok(Json(findings).into_response())
    }
}

fn look_at(following: &Following, finding: &mut Finding) -> Result<(), store::Error> {
    let name = format!("{}/{}", following.name(), following.source());
    if let FollowerState::Stopped { why } = following.state() {
        finding.fault(format!("{name} has stopped: {why}"));
    }
    for letter in following.dead_letters(DEAD_LETTERS_MAX)? {
        let (seq, reason) = (letter.recorded.seq, &letter.reason);
        finding.fault(format!("{name}: event {seq} is a dead letter: {reason}"));
    }
    Ok(())
}

/// Compares rows, first concurrently with writes, and again inside a transaction if there
/// are faults.
///
/// # Errors
/// Those of `beside` and `inside`.
pub async fn settled(
    store: Store,
    beside: impl FnOnce(&Store) -> Result<Vec<Finding>, store::Error> + Send + 'static,
    inside: impl FnOnce(&mut Tx<'_>) -> Result<Vec<Finding>, store::Error> + Send + 'static,
) -> Result<Vec<Finding>, store::Error> {
    let reading = store.clone();
    let findings = blocking(move || beside(&reading)).await?;
    if findings.iter().all(Finding::is_well) {
        return Ok(findings);
    }
    store.write_when_free(inside).await
}

/// Runs long reads on a blocking thread.
///
/// # Errors
/// Those of `work`.
pub async fn blocking<T: Send + 'static, E: From<store::Error> + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|panic| Err(store::Error::Panicked(panic.to_string()).into()))
}
