//! `GET /v1/orders` and its export: the filters of a list, its pages and its files.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use chassis::export::ExportFormat;
use chassis::page::{self, Page, Paging};
use chassis::{Caller, Json, Problem, Staff, check};
use model::{CustomerId, OrderId, Time, UserId};
use serde::Deserialize;
use serde_json::Value;
use store::Key;

use crate::customers::guests;
use crate::domain::{OrderNumber, OrderStatus};
use crate::lists::{self, AgeOrder, OrderFilter, OrderPage, TotalOrder};
use crate::tables::{self, StoredOrder};
use crate::wire::{OrderResponse, OrderWithBuyer};
use crate::{OrdersState, export};

/// The parameters of a list. `limit` and `cursor` are read by the paging.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ListQuery {
    q: Option<String>,
    status: Option<String>,
    user_id: Option<String>,
    product_id: Option<String>,
    created_from: Option<String>,
    created_to: Option<String>,
    sort: Option<String>,
    format: Option<String>,
}

/// The orders of a list.
#[derive(Debug, Clone, Copy)]
enum Sort {
    Age(AgeOrder),
    Total(TotalOrder),
}

const SORTS: [(&str, Sort); 4] = [
    ("-created_at", Sort::Age(AgeOrder::NewestFirst)),
    ("created_at", Sort::Age(AgeOrder::OldestFirst)),
    ("-total", Sort::Total(TotalOrder::LargestFirst)),
    ("total", Sort::Total(TotalOrder::SmallestFirst)),
];

const FORMATS: [(&str, ExportFormat); 2] =
    [("ndjson", ExportFormat::Ndjson), ("csv", ExportFormat::Csv)];

pub(super) async fn list(
    State(state): State<OrdersState>,
    caller: Caller,
    paging: Paging,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<Value>>, Problem> {
    let sort = query.sort()?;
    let Some(filter) = state.filter(&caller, &query).await? else {
        return Ok(Json(Page { items: Vec::new(), next_cursor: None }));
    };
    if filter.product.is_some() || matches!(sort, Sort::Total(_)) {
        state.ledger.runs.require()?;
    }
    let (store, runs) = (state.store.clone(), state.ledger.runs.clone());
    let limit = paging.limit;
    let (orders, next_cursor) = match sort {
        Sort::Age(age) => {
            let after = paging.after()?;
            let read = move || lists::by_age(&store, &runs, &filter, age, after, limit);
            parts(check::blocking(read).await?)
        }
        Sort::Total(sort) => {
            let after = paging.after()?;
            let read = move || lists::by_total(&store, &runs, &filter, sort, after, limit);
            parts(check::blocking(read).await?)
        }
    };
    let items = state.shown(&caller, &orders).await?;
    Ok(Json(Page { items, next_cursor }))
}

fn parts<P: Key>(page: OrderPage<P>) -> (Vec<StoredOrder>, Option<String>) {
    (page.orders, page.next.map(|place| page::cursor(&place)))
}

pub(super) async fn export(
    State(state): State<OrdersState>,
    Staff(caller): Staff,
    Query(query): Query<ListQuery>,
) -> Result<Response, Problem> {
    let Sort::Age(age) = query.sort()? else {
        return Err(Problem::bad_request(
            "an export is sorted by `created_at` or `-created_at`",
        ));
    };
    let format = chosen("format", query.format.as_deref(), &FORMATS)?.unwrap_or_default();
    let filter = state.filter(&caller, &query).await?;
    if filter
        .as_ref()
        .is_some_and(|filter| filter.product.is_some())
    {
        state.ledger.runs.require()?;
    }
    let buyers = state.buyers.seen_by(&caller);
    let body = export::export(state.store, state.ledger.runs, buyers, filter, age, format);
    Ok((
        [(CONTENT_TYPE, format.media_type())],
        Body::from_stream(body),
    )
        .into_response())
}

impl ListQuery {
    fn sort(&self) -> Result<Sort, Problem> {
        let sort = chosen("sort", self.sort.as_deref(), &SORTS)?;
        Ok(sort.unwrap_or(Sort::Age(AgeOrder::NewestFirst)))
    }
}

impl OrdersState {
    /// The orders that the caller asks for; `None` if there are none because nobody is found by
    /// the search. Only staff see orders of others.
    async fn filter(
        &self,
        caller: &Caller,
        query: &ListQuery,
    ) -> Result<Option<OrderFilter>, Problem> {
        let status = query.status.as_deref().map(|name| {
            let names = OrderStatus::ALL.map(OrderStatus::name).join(", ");
            let unknown = || Problem::bad_request(format!("`status` must be one of {names}"));
            OrderStatus::parse(name).ok_or_else(unknown)
        });
        let product = id("product_id", "a product's", query.product_id.as_deref())?;
        let mut filter = OrderFilter {
            status: status.transpose()?,
            product,
            created_from: time("created_from", query.created_from.as_deref())?,
            created_to: time("created_to", query.created_to.as_deref())?,
            ..OrderFilter::default()
        };
        let user = id("user_id", "a user's", query.user_id.as_deref())?;
        let text = query
            .q
            .as_deref()
            .map(str::trim)
            .filter(|text| !text.is_empty());
        if !caller.is_staff() {
            filter.buyers = Some(BTreeSet::from([customer(caller.user_id)]));
            return match text {
                None => Ok(Some(filter)),
                Some(_) => Err(Problem::forbidden("staff")),
            };
        }
        filter.buyers = user.map(|user| BTreeSet::from([customer(user)]));
        match text.map(str::parse::<OrderId>) {
            None => {}
            Some(Ok(order)) => filter.order = Some(order),
            Some(Err(_)) => {
                if let Some(order) = self.order_of_number(text.unwrap_or_default())? {
                    filter.order = Some(order);
                    return Ok(Some(filter));
                }
                let people = self.buyers.seen_by(caller);
                let found = people.matching(text.unwrap_or_default()).await?;
                let guests = guests::matching(&self.store, text.unwrap_or_default())?;
                let accounts = found.iter().map(|person| customer(person.user_id));
                let mut buyers: BTreeSet<_> = accounts.collect();
                buyers.extend(guests.into_iter().map(|(id, _)| id));
                if let Some(only) = &filter.buyers {
                    buyers.retain(|buyer| only.contains(buyer));
                }
                if buyers.is_empty() {
                    return Ok(None);
                }
                filter.buyers = Some(buyers);
            }
        }
        Ok(Some(filter))
    }

    /// The order of a number, as people write it: with or without its prefix, or after a `#`.
    fn order_of_number(&self, text: &str) -> Result<Option<OrderId>, Problem> {
        let text = text.trim_start_matches('#');
        let Ok(wanted) = text.parse::<OrderNumber>() else {
            return Ok(None);
        };
        self.ledger.runs.require()?;
        let is_wanted = |number: &OrderNumber| {
            wanted.prefix.is_empty() || number.prefix.eq_ignore_ascii_case(&wanted.prefix)
        };
        // Of several the newest, whose prefix is today's.
        for id in self
            .ledger
            .runs
            .of_number(&self.store, wanted.value)?
            .into_iter()
            .rev()
        {
            let order = tables::find(&self.store, id)?.order;
            if order.number.as_ref().is_some_and(is_wanted) {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    /// The orders as the caller sees them.
    async fn shown(&self, caller: &Caller, orders: &[StoredOrder]) -> Result<Vec<Value>, Problem> {
        let orders = orders.iter().map(|stored| &stored.order);
        let shown: Result<Vec<Value>, _> = if caller.is_staff() {
            let buyers = self.buyers.seen_by(caller).of(orders.clone()).await;
            orders
                .map(|order| serde_json::to_value(OrderWithBuyer::new(order, &buyers)))
                .collect()
        } else {
            orders
                .map(|order| serde_json::to_value(OrderResponse::new(order)))
                .collect()
        };
        shown.map_err(Problem::internal)
    }
}

/// The customer that an account is.
fn customer(account: UserId) -> CustomerId {
    CustomerId::from_uuid(account.uuid())
}

/// The value of a parameter that has a few.
pub(super) fn chosen<T: Copy>(
    name: &str,
    given: Option<&str>,
    values: &[(&str, T)],
) -> Result<Option<T>, Problem> {
    let Some(given) = given else {
        return Ok(None);
    };
    if let Some((_, value)) = values.iter().find(|(value, _)| *value == given) {
        return Ok(Some(*value));
    }
    let values: Vec<_> = values
        .iter()
        .map(|(value, _)| format!("`{value}`"))
        .collect();
    Err(Problem::bad_request(format!(
        "`{name}` must be {}",
        values.join(" or ")
    )))
}

/// The value of a parameter that is an id.
fn id<K: model::Kind>(
    name: &str,
    whose: &str,
    given: Option<&str>,
) -> Result<Option<model::Id<K>>, Problem> {
    let id = given.map(str::parse).transpose();
    id.map_err(|_| Problem::bad_request(format!("`{name}` is not {whose} id")))
}

/// The value of a parameter that is a moment or a day.
fn time(name: &str, given: Option<&str>) -> Result<Option<Time>, Problem> {
    let time = given.map(str::parse).transpose();
    time.map_err(|why: model::NotATime| Problem::bad_request(format!("`{name}`: {why}")))
}
