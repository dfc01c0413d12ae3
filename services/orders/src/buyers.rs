//! The people behind orders, asked of users: their addresses lie in no other database.
//!
//! **Invariants:** an order is shown without its buyer rather than not at all: users may be away.
//! An API key sees no people without the scope for them.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use api::KeyScope;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use chassis::{Caller, Problem};
use mesh::{AccountContact, Mesh, PEOPLE_MAX, PeopleQuery};
use model::UserId;

use crate::domain::Order;

/// How long a response waits for its buyers; an answer takes a millisecond.
const SHOWN_TIMEOUT: Duration = Duration::from_millis(500);

/// How long a search waits for the people whose orders it shows.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(2);

/// Asks users for people. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Buyers {
    mesh: Mesh,
    is_allowed: bool,
}

impl Buyers {
    pub(crate) fn new(mesh: Mesh) -> Self {
        Self { mesh, is_allowed: true }
    }

    /// The same for a caller, who may have an API key for orders only.
    pub(crate) fn seen_by(&self, caller: &Caller) -> Self {
        let is_allowed = caller.has_scope(KeyScope::CustomersRead);
        Self { mesh: self.mesh.clone(), is_allowed }
    }

    /// The buyers of orders, as many as users knows and answers for in time.
    pub(crate) async fn of<'a>(
        &self,
        orders: impl IntoIterator<Item = &'a Order>,
    ) -> HashMap<UserId, AccountContact> {
        if !self.is_allowed {
            return HashMap::new();
        }
        let ids: BTreeSet<UserId> = orders.into_iter().map(|order| order.user_id).collect();
        let mut found = HashMap::new();
        for some in Vec::from_iter(ids).chunks(PEOPLE_MAX) {
            let query = PeopleQuery::Of(some.to_vec());
            let Some(Some(people)) = self.mesh.ask(&query, SHOWN_TIMEOUT).await else {
                break;
            };
            found.extend(people.into_iter().map(|person| (person.user_id, person)));
        }
        found
    }

    /// The people whose address or name has every word of a text, at most [`PEOPLE_MAX`].
    ///
    /// # Errors
    /// 403 for an API key without the scope for people; 503 while users does not answer, or has
    /// not indexed all people yet.
    pub(crate) async fn matching(&self, text: &str) -> Result<Vec<AccountContact>, Problem> {
        self.ask(PeopleQuery::Matching(text.to_owned())).await
    }

    /// The people with these accounts.
    ///
    /// # Errors
    /// 503 while users does not answer.
    pub(crate) async fn of_accounts(
        &self,
        ids: Vec<UserId>,
    ) -> Result<Vec<AccountContact>, Problem> {
        self.ask(PeopleQuery::Of(ids)).await
    }

    /// The people who registered before one, or of all, the newest first.
    ///
    /// # Errors
    /// 503 while users does not answer.
    pub(crate) async fn registered_before(
        &self,
        before: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<AccountContact>, Problem> {
        self.ask(PeopleQuery::RegisteredBefore { before, limit })
            .await
    }

    async fn ask(&self, query: PeopleQuery) -> Result<Vec<AccountContact>, Problem> {
        if !self.is_allowed {
            return Err(Problem::insufficient_scope(KeyScope::CustomersRead));
        }
        match self.mesh.ask(&query, SEARCH_TIMEOUT).await {
            Some(Some(people)) => Ok(people),
            Some(None) | None => Err(people_unavailable()),
        }
    }
}

fn people_unavailable() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "people-unavailable",
        "People cannot be searched now",
        "the service users, which knows them, does not answer or is building its index; an order is found by its id meanwhile",
    )
    .header(RETRY_AFTER, "5")
}
