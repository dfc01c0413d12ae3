//! Routes of products, and what all handlers share.
//!
//! This room is the only one that knows axum's routes and extractors; handlers
//! parse, decide in one transaction, and answer.

mod bulk;
mod catalogue;
mod lists;
mod search;
mod stock;

use api::routes;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Query, Request};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, HeaderValue};
use axum::http::{Method, Uri};
use axum::response::Response;
use axum::routing::post;
use chassis::request_id::RequestId;
use chassis::{Caller, Problem, Routes, ServiceRoutes, cache_tags};
use model::Currency;
use serde::de::DeserializeOwned;
use store::Store;

use crate::cache::Cache;
use crate::domain::ProductId;
use crate::index::CatalogueIndex;
use crate::store::{Cause, Effects};

/// What the handlers work with.
#[derive(Clone)]
pub(crate) struct Products {
    pub(crate) store: Store,
    pub(crate) effects: Effects,
    pub(crate) index: CatalogueIndex,
    /// Of prices in a CSV that names none.
    pub(crate) import_currency: Currency,
}

/// The handlers of this service.
pub(crate) fn endpoints(products: Products) -> ServiceRoutes {
    let ready = ready(products.effects.cache.clone());
    Routes::new()
        .on(&routes::LIST_PRODUCTS, lists::list)
        .on(&routes::CREATE_PRODUCT, catalogue::create)
        .on(&routes::SEARCH_PRODUCTS, search::search)
        .on(&routes::SUGGEST, search::suggest)
        .on(&routes::IMPORT_PRODUCTS, bulk::import)
        .on(&routes::EXPORT_PRODUCTS, bulk::export)
        .on(&routes::GET_PRODUCT_BY_SKU, catalogue::one_by_sku)
        .on(&routes::GET_PRODUCT, catalogue::one)
        .on(&routes::PUT_PRODUCT, catalogue::replace)
        .on(&routes::PATCH_PRODUCT, catalogue::patch)
        .on(&routes::DELETE_PRODUCT, catalogue::remove)
        .on(&routes::GET_STOCK, stock::levels)
        .on(&routes::ADJUST_STOCK, stock::adjust)
        .on(&routes::LIST_CATEGORIES, lists::categories)
        .with_state(products)
        .fast_path(ready)
}

/// A published product that is in the cache, for whoever comes without a token: a
/// token has to be checked, even where it changes nothing.
fn ready(cache: Cache) -> impl Fn(&Request) -> Option<Response> {
    move |request| {
        let id = request.uri().path().strip_prefix("/v1/products/")?;
        let asks =
            request.method() == Method::GET && !request.headers().contains_key(AUTHORIZATION);
        let id = id.parse().ok().filter(|_| asks)?;
        let shown = cache.peek(id)?;
        Some(cached(shown.respond(request.headers()), About::Product(id)))
    }
}

/// The operator's routes.
pub(crate) fn control(products: Products) -> Router {
    Router::new()
        .route("/control/import", post(bulk::import_unasked))
        .layer(DefaultBodyLimit::disable())
        .with_state(products)
}

/// What a request is the cause of.
fn cause(caller: &Caller, request: RequestId) -> Cause {
    Cause {
        at: model::now(),
        by: Some(caller.user_id.to_string()),
        trace: Some(request.0),
    }
}

/// A query string to the contract.
///
/// # Errors
/// 400 for an unknown name or a value that cannot be read.
fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Problem> {
    let Query(query) =
        Query::try_from_uri(uri).map_err(|error| Problem::bad_request(error.body_text()))?;
    Ok(query)
}

/// What the gateway knows all of this service's answers by.
const ALL: &str = "products";

/// What an answer tells of.
#[derive(Clone, Copy)]
enum About {
    /// One product, which everyone may see.
    Product(ProductId),
    /// The catalogue as a whole, as everyone may see it.
    Catalogue,
    /// As `Catalogue`, by an index that does not show all of it yet.
    Lagging,
    /// Something that is only staff's to see.
    Staff,
}

/// Says how an answer may be kept: what everyone may see must be asked about again
/// each time, except by the gateway, which hears when it is no longer so; what only
/// staff may see is kept nowhere.
fn cached(mut response: Response, about: About) -> Response {
    let headers = response.headers_mut();
    let rule = if matches!(about, About::Staff) {
        "private, no-store"
    } else {
        "public, max-age=0, must-revalidate"
    };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(rule));
    match about {
        About::Product(id) => cache_tags::keep(headers, &id.to_string()),
        About::Catalogue => cache_tags::keep(headers, ALL),
        About::Lagging | About::Staff => {}
    }
    response
}
