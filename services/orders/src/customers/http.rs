//! `GET /v1/customers`, one of them, and the erasure of a guest.

use axum::extract::{Query, State};
use axum::http::StatusCode;
use chassis::json::PathId;
use chassis::page::{self, Page, Paging};
use chassis::{Admin, Json, Problem, Staff};
use mesh::AccountContact;
use model::{CustomerId, UserId, kinds};
use serde::Deserialize;

use super::{Customer, guests};
use crate::domain::BuyerContact;
use crate::wire::CustomerResponse;
use crate::{OrdersState, sales};

#[derive(Debug, Deserialize)]
pub(crate) struct CustomersQuery {
    q: Option<String>,
}

/// People who bought or registered, the newest first.
pub(crate) async fn list(
    State(state): State<OrdersState>,
    Staff(_): Staff,
    paging: Paging,
    Query(query): Query<CustomersQuery>,
) -> Result<Json<Page<CustomerResponse>>, Problem> {
    state.ledger.sums.require()?;
    let after: Option<CustomerId> = paging.after()?;
    let text = query.q.as_deref().map(str::trim);
    let mut people = match text.filter(|text| !text.is_empty()) {
        None => state.customers_before(after, paging.limit + 1).await?,
        Some(text) => state.customers_matching(text).await?,
    };
    people.sort_by_key(|person| std::cmp::Reverse(person.id));
    people.retain(|person| after.is_none_or(|after| person.id < after));
    let is_last = people.len() <= paging.limit;
    people.truncate(paging.limit);
    let last = people.last().filter(|_| !is_last);
    let next_cursor = last.map(|person| page::cursor(&person.id));
    let items = people
        .into_iter()
        .map(|person| state.shown_customer(person));
    Ok(Json(Page {
        items: items.collect::<Result<_, _>>()?,
        next_cursor,
    }))
}

pub(crate) async fn one(
    State(state): State<OrdersState>,
    Staff(_): Staff,
    PathId(id): PathId<kinds::Customer>,
) -> Result<Json<CustomerResponse>, Problem> {
    state.ledger.sums.require()?;
    let person = state.customer(id).await?.ok_or_else(Problem::not_found)?;
    Ok(Json(state.shown_customer(person)?))
}

/// Erases a guest.
pub(crate) async fn erase(
    State(state): State<OrdersState>,
    Admin(_): Admin,
    PathId(id): PathId<kinds::Customer>,
) -> Result<StatusCode, Problem> {
    match state.customer(id).await? {
        None => return Err(Problem::not_found()),
        Some(Customer { user_id: Some(_), .. }) => {
            let detail = "the customer has an account: erase that, with DELETE /v1/users/{id}";
            return Err(Problem::conflict("customer-has-account", detail));
        }
        Some(Customer { user_id: None, .. }) => {}
    }
    state.erased_guests.erase(&state.store, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Accounts and guests as customers, in no order.
fn merged(accounts: Vec<AccountContact>, guests: Vec<(CustomerId, BuyerContact)>) -> Vec<Customer> {
    let accounts = accounts.into_iter().map(Customer::from);
    accounts
        .chain(guests.into_iter().map(Customer::from))
        .collect()
}

impl OrdersState {
    async fn customers_before(
        &self,
        before: Option<CustomerId>,
        limit: usize,
    ) -> Result<Vec<Customer>, Problem> {
        let account = before.map(|id| UserId::from_uuid(id.uuid()));
        let accounts = self.buyers.registered_before(account, limit).await?;
        Ok(merged(
            accounts,
            guests::before(&self.store, before, limit)?,
        ))
    }

    /// The customers whose address or name has every word of a text.
    async fn customers_matching(&self, text: &str) -> Result<Vec<Customer>, Problem> {
        let accounts = self.buyers.matching(text).await?;
        Ok(merged(accounts, guests::matching(&self.store, text)?))
    }

    async fn customer(&self, id: CustomerId) -> Result<Option<Customer>, Problem> {
        if let Some(contact) = guests::find(&self.store, id)? {
            return Ok(Some((id, contact).into()));
        }
        let account = UserId::from_uuid(id.uuid());
        let found = self.buyers.of_accounts(vec![account]).await?;
        Ok(found.into_iter().next().map(Customer::from))
    }

    fn shown_customer(&self, customer: Customer) -> Result<CustomerResponse, Problem> {
        let spent = sales::spent(&self.store, customer.id)?;
        Ok(CustomerResponse::new(customer, spent))
    }
}
