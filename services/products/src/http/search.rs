//! `GET /v1/products/search` and `/suggest`: full-text search and query completion.
//!
//! **Invariant:** a product found has the same bytes as in its own response.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Instant;

use ::search::{Facet, Highlighter, SearchHits, SearchOrder, SearchRequest};
use ::store::Store;
use axum::extract::State;
use axum::http::Uri;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use chassis::limits::PAGE_ITEMS;
use chassis::{Json, Problem};
use serde::Serialize;

use super::{CacheScope, CatalogueState, cached, category_filter, query};
use crate::Error;
use crate::cache::{ProductCache, Visibility};
use crate::wire::{HighlightedTexts, SearchItem, SearchSummary, SuggestQuery, SuggestResponse};

/// The length of a query, in characters.
const TEXT_CHARS_MAX: usize = 500;
/// The deepest position of a page: each page costs as much as all before it.
const REACH_MAX: usize = 10_000;
/// Facets and parameters of one search.
const FACETS_MAX: usize = 20;
/// Values of a facet: the usual number, and the most that can be asked for.
const FACET_VALUES: (usize, usize) = (100, 1_000);
const VALUES_MAX: usize = 50;
/// The usual size of what a search adds to a product; sizes a buffer.
const ADDED_BYTES_USUAL: usize = 512;

pub(super) async fn search(
    State(app): State<CatalogueState>,
    uri: Uri,
) -> Result<Response, Problem> {
    let request = request(query(&uri)?)?;
    let (scope, started) = (cache_scope(&app), Instant::now());
    let index = app.index.clone();
    let respond = move |hits| respond(&app.store, &app.effects.cache, &hits, started);
    let body = index.search(request, respond).await?;
    let json = [(CONTENT_TYPE, "application/json")];
    Ok(cached((json, body).into_response(), scope))
}

/// The cache scope of a response made from the index, if the search begins now.
fn cache_scope(app: &CatalogueState) -> CacheScope {
    if app.index.lag().is_zero() {
        CacheScope::Catalogue
    } else {
        CacheScope::Lagging
    }
}

/// The body of a search's response. Products are copied into it in the bytes that are
/// sent elsewhere; one that is gone since it was indexed is left out.
fn respond(
    store: &Store,
    cache: &ProductCache,
    hits: &SearchHits,
    started: Instant,
) -> Result<Vec<u8>, Error> {
    let SearchHits { total, page, facets, corrected, highlighter } = hits;
    let mut items = Vec::with_capacity(page.len());
    for &(id, score) in page {
        match cache.read(store, id) {
            Ok((product, Visibility::Public)) => {
                let highlights = highlights(product.body(), highlighter)?;
                items.push((product, SearchItem { score, highlights }));
            }
            Ok((_, Visibility::Staff)) | Err(Error::NotFound) => {}
            Err(error) => return Err(error),
        }
    }
    let bytes: usize = items.iter().map(|(product, _)| product.len()).sum();
    let mut body = Vec::with_capacity(bytes + items.len() * ADDED_BYTES_USUAL);
    body.extend_from_slice(b"{\"items\":[");
    for (place, (product, item)) in items.iter().enumerate() {
        if place > 0 {
            body.push(b',');
        }
        join(&mut body, product.body(), item)?;
    }
    body.push(b']');
    let corrected = corrected.as_deref();
    let took_us = started.elapsed().as_micros();
    join(
        &mut body,
        b"}",
        &SearchSummary { total: *total, facets, took_us, corrected },
    )?;
    Ok(body)
}

/// The texts with a match, by field name.
fn highlights(
    product: &[u8],
    highlighter: &Highlighter,
) -> Result<BTreeMap<&'static str, String>, Problem> {
    let texts = HighlightedTexts::read(product).map_err(Problem::internal)?;
    let texts = [
        ("title", &texts.title),
        ("description", &texts.description),
        ("brand", &texts.brand),
    ];
    let marked = |(name, text): (_, &Cow<'_, str>)| Some((name, highlighter.mark(text)?));
    Ok(texts.into_iter().filter_map(marked).collect())
}

/// Appends an object, extended by the members of another one.
fn join(out: &mut Vec<u8>, object: &[u8], added: &impl Serialize) -> Result<(), Problem> {
    out.extend_from_slice(object.strip_suffix(b"}").unwrap_or(object));
    let begin = out.len();
    serde_json::to_writer(&mut *out, added).map_err(Problem::internal)?;
    // The opening brace of the appended object.
    out[begin] = b',';
    Ok(())
}

/// Reads a search's parameters; a filter may come more than once.
fn request(pairs: Vec<(String, String)>) -> Result<SearchRequest, Problem> {
    let mut request = SearchRequest {
        limit: PAGE_ITEMS.0,
        facet_limit: FACET_VALUES.0,
        ..SearchRequest::default()
    };
    let mut values = 0;
    for (name, value) in pairs {
        let filters = &mut request.filters;
        match name.as_str() {
            "q" => request.text = text(value)?,
            "category" if !value.is_empty() => filters.categories.push(category_filter(value)),
            "brand" if !value.is_empty() => filters.brands.push(value),
            "tags" if !value.is_empty() => filters.tags.push(value),
            "category" | "brand" | "tags" => continue,
            "price_min" => filters.price_min = Some(price(&name, &value)?),
            "price_max" => filters.price_max = Some(price(&name, &value)?),
            "available" => filters.available = Some(flag(&value)?),
            "sort" => request.order = sort(&value)?,
            "limit" => request.limit = number(&name, &value)?,
            "offset" => request.offset = number(&name, &value)?,
            "facets" => request.facets.extend(facets(&value)?),
            "facet_limit" => request.facet_limit = number(&name, &value)?,
            _ => match name.strip_prefix("attr.") {
                Some(attribute) if !attribute.is_empty() => {
                    let attribute = model::normalised(attribute).into_owned();
                    filters.attributes.entry(attribute).or_default().push(value);
                }
                _ => {
                    let why = format!("there is no search parameter `{name}`");
                    return Err(Problem::bad_request(why));
                }
            },
        }
        values += 1;
    }
    if values > VALUES_MAX {
        let why = format!("a search has at most {VALUES_MAX} parameters");
        return Err(Problem::bad_request(why));
    }
    if !(1..=PAGE_ITEMS.1).contains(&request.limit) {
        return Err(Problem::bad_request(
            "`limit` must be a number from 1 to 100",
        ));
    }
    if request.facets.len() > FACETS_MAX {
        let why = format!("a search has at most {FACETS_MAX} facets");
        return Err(Problem::bad_request(why));
    }
    if !(1..=FACET_VALUES.1).contains(&request.facet_limit) {
        return Err(Problem::bad_request(
            "`facet_limit` must be a number from 1 to 1000",
        ));
    }
    if request.offset.saturating_add(request.limit) > REACH_MAX {
        let why = format!(
            "`offset` and `limit` together must be at most {REACH_MAX}; narrow the search instead"
        );
        return Err(Problem::bad_request(why));
    }
    Ok(request)
}

fn text(value: String) -> Result<String, Problem> {
    if value.chars().count() > TEXT_CHARS_MAX {
        let why = format!("`q` must have at most {TEXT_CHARS_MAX} characters");
        return Err(Problem::bad_request(why));
    }
    Ok(value)
}

fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, Problem> {
    value
        .parse()
        .map_err(|_| Problem::bad_request(format!("`{name}` must be a whole number")))
}

/// An amount in minor units, which no price has below 0.
fn price(name: &str, value: &str) -> Result<i64, Problem> {
    let amount = number(name, value)?;
    match amount {
        0.. => Ok(amount),
        _ => Err(Problem::bad_request(format!(
            "`{name}` must not be negative"
        ))),
    }
}

fn flag(value: &str) -> Result<bool, Problem> {
    value
        .parse()
        .map_err(|_| Problem::bad_request("`available` must be true or false"))
}

fn sort(value: &str) -> Result<SearchOrder, Problem> {
    match value {
        "relevance" => Ok(SearchOrder::Relevance),
        "price" => Ok(SearchOrder::Cheapest),
        "-price" => Ok(SearchOrder::Dearest),
        "created_at" => Ok(SearchOrder::Oldest),
        "-created_at" => Ok(SearchOrder::Newest),
        "title" => Ok(SearchOrder::Title),
        "rating" => Ok(SearchOrder::BestRated),
        _ => Err(Problem::bad_request(
            "`sort` must be one of relevance, price, -price, created_at, -created_at, title, rating",
        )),
    }
}

/// Whether this can be an attribute's name; the index reserves control characters.
fn is_attribute(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(char::is_control)
}

/// Facets parted by commas, or one of an attribute with a comma in its name.
fn facets(value: &str) -> Result<Vec<(String, Facet)>, Problem> {
    let names = value.split(',').map(str::trim);
    let names = names.filter(|name| !name.is_empty());
    let facets: Result<Vec<_>, _> = names.map(facet).collect();
    match facet(value.trim()) {
        Ok(whole) if facets.is_err() => Ok(vec![whole]),
        _ => facets,
    }
}

fn facet(name: &str) -> Result<(String, Facet), Problem> {
    let facet = match (name, name.strip_prefix("attr.")) {
        ("category", _) => Facet::Category,
        ("brand", _) => Facet::Brand,
        ("tags", _) => Facet::Tag,
        ("price", _) => Facet::Price,
        (_, Some(attribute)) if is_attribute(attribute) => {
            Facet::Attribute(model::normalised(attribute).into_owned())
        }
        _ => {
            let why = format!(
                "there is no facet `{name}`; the facets are brand, category, tags, price and attr.<name>"
            );
            return Err(Problem::bad_request(why));
        }
    };
    Ok((name.to_owned(), facet))
}

pub(super) async fn suggest(
    State(app): State<CatalogueState>,
    uri: Uri,
) -> Result<Response, Problem> {
    let SuggestQuery { q } = query(&uri)?;
    let scope = cache_scope(&app);
    let items = app.index.suggest(text(q)?).await?;
    Ok(cached(
        Json(SuggestResponse { items }).into_response(),
        scope,
    ))
}
