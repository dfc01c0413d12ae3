//! Whether what a service keeps agrees with itself: each service adds what it can
//! compare, every one has its log. Answered at the control socket, for the
//! operator.
//!
//! **Invariant:** a check only reads, and what it reports was so at one moment:
//! what merely changed while it was looked at is looked at again.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::future::BoxFuture;
use mesh::Log;
use serde::Serialize;
use store::{Store, Tx};

use crate::{Json, Problem};

/// Disagreements told in words; all are counted.
const EXAMPLES_MAX: usize = 20;

/// What one comparison came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was compared.
    what: &'static str,
    /// How many of it.
    compared: u64,
    /// How many of them disagree.
    faults: u64,
    /// The first of those, for people.
    examples: Vec<String>,
}

impl Finding {
    /// Nothing compared yet.
    pub fn of(what: &'static str) -> Self {
        Self { what, compared: 0, faults: 0, examples: Vec::new() }
    }

    /// One more is looked at.
    pub fn compare(&mut self) {
        self.compared += 1;
    }

    /// It disagrees.
    pub fn fault(&mut self, why: impl Into<String>) {
        self.faults += 1;
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(why.into());
        }
    }

    /// How many were looked at.
    pub fn compared(&self) -> u64 {
        self.compared
    }

    /// Whether all agrees.
    pub fn is_well(&self) -> bool {
        self.faults == 0
    }
}

type Check = Box<dyn Fn() -> BoxFuture<'static, Result<Vec<Finding>, store::Error>> + Send + Sync>;

/// What a service compares when it is asked to. Cheap to clone.
#[derive(Clone, Default)]
pub struct Checks(Arc<Mutex<Vec<Arc<Check>>>>);

impl Checks {
    /// Adds a comparison.
    pub fn add<F>(&self, check: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = Result<Vec<Finding>, store::Error>> + Send + 'static,
    {
        let check: Check = Box::new(move || Box::pin(check()));
        self.lock().push(Arc::new(check));
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

    /// The operator's page.
    pub(crate) fn router(&self) -> Router {
        let checks = self.clone();
        Router::new().route("/control/check", get(move || checks.answer()))
    }

    async fn answer(self) -> Result<Response, Problem> {
        let checks = self.lock().clone();
        let mut findings = Vec::new();
        for check in checks {
            findings.extend(check().await?);
        }
        Ok(Json(findings).into_response())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Check>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Compares rows: first beside the writes that go on, and if anything disagrees
/// once more inside a transaction, where nothing changes meanwhile.
///
/// # Errors
/// When the store cannot be read.
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

/// Long reads on a thread that may be blocked.
///
/// # Errors
/// Those of `work`.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, store::Error> + Send + 'static,
) -> Result<T, store::Error> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|panic| Err(store::Error::Panicked(panic.to_string())))
}
