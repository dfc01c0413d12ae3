//! `GET /v1/products`: lists.
//!
//! **Invariant:** a page is one scan of an index, however large the catalogue.

use axum::extract::State;
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use chassis::etag::Tagged;
use chassis::page::{Page, Paging};
use chassis::{Caller, Json, Problem};
use model::PublicationStatus;
use serde::ser::Error as _;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use store::Key;

use super::{CacheScope, CatalogueState, cached, category_filter, query};
use crate::domain::ProductId;
use crate::indexes::{BY_AGE, BY_PRICE, BY_TITLE, Direction, IndexKey, IndexTable};
use crate::{Error, indexes};

/// The parameters of a list. `limit` and `cursor` are read by the paging.
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
    State(app): State<CatalogueState>,
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
    let category = query.category.filter(|text| !text.is_empty());
    let category = category.map(category_filter);
    let brand = query.brand.as_deref().filter(|text| !text.is_empty());
    let keys = indexes::list(status, category.as_deref(), brand);
    let page = match query.sort.unwrap_or_default() {
        Sort::Oldest => app.page(&paging, keys, BY_AGE, Direction::Ascending, |id| *id)?,
        Sort::Newest => app.page(&paging, keys, BY_AGE, Direction::Descending, |id| *id)?,
        Sort::Cheapest => app.page(&paging, keys, BY_PRICE, Direction::Ascending, |place| {
            place.1
        })?,
        Sort::Dearest => app.page(&paging, keys, BY_PRICE, Direction::Descending, |place| {
            place.1
        })?,
        Sort::Title => app.page(&paging, keys, BY_TITLE, Direction::Ascending, |place| {
            place.1
        })?,
    };
    let scope = if public {
        CacheScope::Catalogue
    } else {
        CacheScope::Staff
    };
    Ok(cached(Json(page).into_response(), scope))
}

impl CatalogueState {
    /// A page of the products under all these index keys, in one of the orders.
    fn page<P: Key + Ord + Clone + 'static>(
        &self,
        paging: &Paging,
        keys: Vec<IndexKey>,
        table: IndexTable<P>,
        direction: Direction,
        id_of: impl Fn(&P) -> ProductId,
    ) -> Result<Page<ProductJson>, Problem> {
        let last = paging.after::<P>()?;
        let places = indexes::merge_scan(&self.store, table, keys, last.as_ref(), direction);
        let products = places.map_err(Error::from)?.filter_map(|place| {
            let place = match place {
                Ok(place) => place,
                Err(error) => return Some(Err(Error::from(error))),
            };
            match self.effects.cache.read(&self.store, id_of(&place)) {
                Ok((product, _)) => Some(Ok((place, product))),
                // Removed between the two reads.
                Err(Error::NotFound) => None,
                Err(error) => Some(Err(error)),
            }
        });
        Ok(paging.collect(products)?.map(ProductJson))
    }
}

/// A product's JSON, embedded as it is.
struct ProductJson(Tagged);

impl Serialize for ProductJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let json: &RawValue = serde_json::from_slice(self.0.body()).map_err(S::Error::custom)?;
        json.serialize(serializer)
    }
}
