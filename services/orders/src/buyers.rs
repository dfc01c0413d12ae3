//! The people behind orders. Accounts are asked of users: their addresses lie in no other
//! database. Guests' contacts lie in the orders.
//!
//! **Invariants:** an order is shown without its buyer rather than not at all: users may be away.
//! An API key sees no people without the scope for them.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use api::KeyScope;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use chassis::{Caller, Problem};
use mesh::{AccountContact, Contact, ContactOf, Mesh, PEOPLE_MAX, PeopleQuery};
use model::{CustomerId, UserId};

use crate::customers::guests::email_key;
use crate::domain::{Buyer, BuyerContact, Order};

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

/// The buyers of some orders, as far as they are known to who asks.
#[derive(Default)]
pub(crate) struct KnownBuyers {
    accounts: HashMap<UserId, AccountContact>,
    hides_guests: bool,
}

impl KnownBuyers {
    /// The buyer's contact, as name and address.
    pub(crate) fn of<'a>(&'a self, order: &'a Order) -> Option<(&'a str, &'a str)> {
        match &order.buyer {
            Buyer::Account(id) => {
                let account = self.accounts.get(id)?;
                Some((&account.name, &account.email))
            }
            Buyer::Guest(_) if self.hides_guests => None,
            buyer @ Buyer::Guest(_) => {
                let BuyerContact { email, name } = buyer.guest_contact()?;
                Some((name, email))
            }
        }
    }
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

    /// The buyers of orders: guests, and as many accounts as users knows and answers for in time.
    pub(crate) async fn of<'a>(&self, orders: impl IntoIterator<Item = &'a Order>) -> KnownBuyers {
        if !self.is_allowed {
            return KnownBuyers { hides_guests: true, ..KnownBuyers::default() };
        }
        let ids = orders.into_iter().filter_map(|order| order.buyer.user_id());
        let ids: BTreeSet<UserId> = ids.collect();
        let mut known = KnownBuyers::default();
        for some in Vec::from_iter(ids).chunks(PEOPLE_MAX) {
            let query = PeopleQuery::Of(some.to_vec());
            let Some(Some(people)) = self.mesh.ask(&query, SHOWN_TIMEOUT).await else {
                break;
            };
            let people = people.into_iter().map(|person| (person.user_id, person));
            known.accounts.extend(people);
        }
        known
    }

    /// The accounts whose address or name has every word of a text, at most [`PEOPLE_MAX`].
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

    /// The contact of an active account, with whether the address is verified.
    ///
    /// # Errors
    /// 503 while users does not answer.
    pub(crate) async fn contact(&self, user_id: UserId) -> Result<Option<Contact>, Problem> {
        let answer = self.mesh.ask(&ContactOf { user_id }, SEARCH_TIMEOUT).await;
        answer.ok_or_else(people_unavailable)
    }

    /// The address of an account, if users says it in time.
    pub(crate) async fn email_of(&self, user_id: UserId) -> Option<String> {
        let contact = self.mesh.ask(&ContactOf { user_id }, SHOWN_TIMEOUT).await?;
        contact.map(|contact| contact.email)
    }

    /// The customers that the accounts of an address are, as far as users says so in time.
    pub(crate) async fn accounts_of(&self, email: &str) -> Vec<CustomerId> {
        let query = PeopleQuery::Matching(email.to_owned());
        let people = self.mesh.ask(&query, SHOWN_TIMEOUT).await.flatten();
        let people = people.unwrap_or_default().into_iter();
        people
            .filter(|person| email_key(&person.email) == email_key(email))
            .map(|person| CustomerId::from_uuid(person.user_id.uuid()))
            .collect()
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
