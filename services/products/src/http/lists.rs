//! Products in lists, and the tree of categories.

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

use super::{About, Products, cached, query};
use crate::domain::ProductId;
use crate::shelves::{BY_AGE, BY_PRICE, BY_TITLE, Places, Shelf};
use crate::shown::shown;
use crate::{Error, categories as tree, shelves, store as products};

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
    let shelves = shelves::list(status, category, brand);
    let page = match query.sort.unwrap_or_default() {
        Sort::Oldest => page(&app, &paging, shelves, BY_AGE, false, |id| *id)?,
        Sort::Newest => page(&app, &paging, shelves, BY_AGE, true, |id| *id)?,
        Sort::Cheapest => page(&app, &paging, shelves, BY_PRICE, false, |place| place.1)?,
        Sort::Dearest => page(&app, &paging, shelves, BY_PRICE, true, |place| place.1)?,
        Sort::Title => page(&app, &paging, shelves, BY_TITLE, false, |place| place.1)?,
    };
    let about = if public { About::Catalogue } else { About::Staff };
    Ok(cached(Json(page).into_response(), about))
}

/// A page of what stands on all these shelves, in one of their orders.
fn page<P: Key + Ord + Clone + 'static>(
    app: &Products,
    paging: &Paging,
    shelves: Vec<Shelf>,
    table: Places<P>,
    descending: bool,
    id_of: impl Fn(&P) -> ProductId,
) -> Result<Page<Shown>, Problem> {
    let last = paging.after::<P>()?;
    let places = shelves::walk(&app.store, table, shelves, last.as_ref(), descending);
    let shown = places.map_err(Error::from)?.filter_map(|place| {
        let place = match place {
            Ok(place) => place,
            Err(error) => return Some(Err(Error::from(error))),
        };
        match shown(&app.store, &app.effects.cache, id_of(&place)) {
            Ok((shown, _)) => Some(Ok((place, shown))),
            // Removed between the two reads.
            Err(Error::NotFound) => None,
            Err(error) => Some(Err(error)),
        }
    });
    let page = paging.collect(shown)?;
    Ok(page.map(Shown))
}

/// A product's JSON as it is, amid other JSON.
struct Shown(Tagged);

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let json: &RawValue = serde_json::from_slice(self.0.body()).map_err(S::Error::custom)?;
        json.serialize(serializer)
    }
}

#[derive(Serialize)]
struct Categories {
    items: Vec<tree::Category>,
}

pub(super) async fn categories(State(app): State<Products>) -> Result<Response, Problem> {
    let items = tree::tree(products::categories(&app.store)?);
    Ok(cached(
        Json(Categories { items }).into_response(),
        About::Catalogue,
    ))
}
