//! Handlers of products, and their shared state.
//!
//! Only this module knows axum; handlers parse, run one use case in a transaction, and
//! respond.
//!
//! **Invariant:** a response that only staff may see is never cached.

mod bulk;
mod catalogue;
mod categories;
mod lists;
mod search;
mod stock;

use api::routes;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Query, Request};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, HeaderValue};
use axum::http::{Method, Uri};
use axum::response::Response;
use axum::routing::{get, post};
use chassis::problem::NO_STORE;
use chassis::request_id::RequestId;
use chassis::{Caller, Problem, Routes, ServiceRoutes, cache_tags};
use mesh::Cause;
use model::Currency;
use serde::de::DeserializeOwned;
use store::Store;

use crate::cache::ProductCache;
use crate::domain::ProductId;
use crate::effects::Effects;
use crate::index::CatalogueIndex;
use crate::submission;

/// The state of the handlers.
#[derive(Clone)]
pub(crate) struct CatalogueState {
    pub(crate) store: Store,
    pub(crate) effects: Effects,
    pub(crate) index: CatalogueIndex,
    /// The currency of prices in a CSV that names none.
    pub(crate) import_currency: Currency,
}

/// The handlers of this service.
pub(crate) fn endpoints(catalogue: CatalogueState) -> ServiceRoutes {
    let ready = ready(catalogue.effects.cache.clone());
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
        .on(&routes::SET_STOCK, stock::set)
        .on(&routes::LIST_CATEGORIES, categories::list)
        .on(&routes::RENAME_CATEGORY, categories::rename)
        .with_state(catalogue)
        .fast_path(ready)
}

/// Fast path: a cached product for a request without a token, which would have to be
/// checked.
fn ready(cache: ProductCache) -> impl Fn(&Request) -> Option<Response> {
    move |request| {
        let id = request.uri().path().strip_prefix("/v1/products/")?;
        let asks =
            request.method() == Method::GET && !request.headers().contains_key(AUTHORIZATION);
        let id = id.parse().ok().filter(|_| asks)?;
        let product = cache.peek(id)?;
        Some(cached(
            product.respond(request.headers()),
            CacheScope::Product(id),
        ))
    }
}

/// The operator's routes.
pub(crate) fn control(catalogue: CatalogueState) -> Router {
    Router::new()
        .route("/control/import", post(bulk::import_by_operator))
        .layer(DefaultBodyLimit::disable())
        .route("/control/reservations", get(stock::reservations))
        .with_state(catalogue)
}

/// The cause of a change by a request.
fn cause(caller: &Caller, request: RequestId) -> Cause {
    Cause {
        at: model::now(),
        by: Some(caller.user_id.to_string()),
        via: caller.api_key.map(|key| key.to_string()),
        trace: Some(request.0),
    }
}

/// Parses a query string.
///
/// # Errors
/// 400 for an unknown name or a value that cannot be read.
fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Problem> {
    let Query(query) =
        Query::try_from_uri(uri).map_err(|error| Problem::bad_request(error.body_text()))?;
    Ok(query)
}

/// A category to filter by, written as the field is. What is no path is no product's.
fn category_filter(text: String) -> String {
    submission::category(&text).unwrap_or(text)
}

/// The cache tag of everything that depends on the whole catalogue.
const ALL: &str = "products";

/// What a response depends on, and who may see it.
#[derive(Clone, Copy)]
enum CacheScope {
    /// One public product.
    Product(ProductId),
    /// The public catalogue as a whole.
    Catalogue,
    /// The public catalogue, by an index that lags behind.
    Lagging,
    /// For staff only.
    Staff,
}

/// Sets the caching headers: public responses are revalidated each time, except by the
/// gateway, which is notified of changes through cache tags.
fn cached(mut response: Response, scope: CacheScope) -> Response {
    let headers = response.headers_mut();
    let rule = match scope {
        CacheScope::Staff => NO_STORE,
        _ => HeaderValue::from_static("public, max-age=0, must-revalidate"),
    };
    headers.insert(CACHE_CONTROL, rule);
    match scope {
        CacheScope::Product(id) => cache_tags::keep(headers, &id.to_string()),
        CacheScope::Catalogue => cache_tags::keep(headers, ALL),
        CacheScope::Lagging | CacheScope::Staff => {}
    }
    response
}
