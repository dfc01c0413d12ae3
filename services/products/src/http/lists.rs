//! Products in lists, and the tree of categories.

use axum::extract::State;
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use chassis::page::{Page, Paging};
use chassis::{Caller, Json, Problem};
use mesh::PublicationStatus;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{Key, Read, Span, Table};

use super::{ProductView, Products, cached, query};
use crate::domain::ProductId;
use crate::shelves::{BY_AGE, BY_PRICE, BY_TITLE, Shelf, shelf};
use crate::{Error, categories as tree, store as products};

/// What a list may be asked for. `limit` and `cursor` are the page's.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    category: Option<String>,
    brand: Option<String>,
    status: Option<PublicationStatus>,
    sort: Option<Sort>,
    #[serde(rename = "limit")]
    _limit: Option<String>,
    #[serde(rename = "cursor")]
    _cursor: Option<String>,
}

#[derive(Clone, Copy, Default, Deserialize)]
enum Sort {
    #[serde(rename = "created_at")]
    Oldest,
    #[default]
    #[serde(rename = "-created_at")]
    Newest,
    #[serde(rename = "price")]
    Cheapest,
    #[serde(rename = "-price")]
    Dearest,
    #[serde(rename = "title")]
    Title,
}

pub(super) async fn list(
    State(app): State<Products>,
    caller: Option<Caller>,
    paging: Paging,
    uri: Uri,
) -> Result<Response, Problem> {
    let query: ListQuery = query(&uri)?;
    let status = query.status.unwrap_or(PublicationStatus::Published);
    let public = status == PublicationStatus::Published;
    match caller {
        _ if public => {}
        None => return Err(Problem::unauthenticated()),
        Some(caller) if !caller.is_staff() => return Err(Problem::forbidden("staff")),
        Some(_) => {}
    }
    let category = query.category.as_deref().filter(|text| !text.is_empty());
    let brand = query.brand.as_deref().filter(|text| !text.is_empty());
    let shelf = shelf(status, category, brand);
    let page = match query.sort.unwrap_or_default() {
        Sort::Oldest => page(&app, &paging, shelf, BY_AGE, false, |key| key.1)?,
        Sort::Newest => page(&app, &paging, shelf, BY_AGE, true, |key| key.1)?,
        Sort::Cheapest => page(&app, &paging, shelf, BY_PRICE, false, |key| key.2)?,
        Sort::Dearest => page(&app, &paging, shelf, BY_PRICE, true, |key| key.2)?,
        Sort::Title => page(&app, &paging, shelf, BY_TITLE, false, |key| key.2)?,
    };
    Ok(cached(Json(page).into_response(), public))
}

/// A page of a shelf in one of its orders.
fn page<K: Key + Clone>(
    app: &Products,
    paging: &Paging,
    shelf: Shelf,
    table: Table<K, ()>,
    descending: bool,
    id_of: impl Fn(&K) -> ProductId,
) -> Result<Page<Value>, Problem>
where
    Shelf: store::Prefix<K>,
{
    let rows: Span<K, ()> = table.prefix(&shelf);
    let rows = match (paging.after::<K>()?, descending) {
        (Some(last), false) => rows.after(&last),
        (Some(last), true) => rows.before(&last).newest_first(),
        (None, false) => rows,
        (None, true) => rows.newest_first(),
    };
    let shown = app.store.scan(rows)?.filter_map(|row| {
        let (key, ()) = match row {
            Ok(row) => row,
            Err(error) => return Some(Err(Error::from(error))),
        };
        match products::product(&app.store, id_of(&key)) {
            Ok((product, level)) => Some(Ok((key, json!(ProductView::new(&product, level))))),
            // Removed between the two reads.
            Err(Error::NotFound) => None,
            Err(error) => Some(Err(error)),
        }
    });
    Ok(paging.collect(shown)?)
}

#[derive(Serialize)]
struct Categories {
    items: Vec<tree::Category>,
}

pub(super) async fn categories(State(app): State<Products>) -> Result<Response, Problem> {
    let items = tree::tree(products::categories(&app.store)?);
    Ok(cached(Json(Categories { items }).into_response(), true))
}
