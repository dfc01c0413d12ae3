//! Searching and completing.

use std::collections::BTreeMap;
use std::time::Instant;

use axum::extract::State;
use axum::http::Uri;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use chassis::limits::PAGE_ITEMS;
use chassis::{Json, Problem};
use serde::{Deserialize, Serialize};

use super::{About, Products, cached, query};
use crate::search::{Facet, FacetValue, Found, Hit, Sort, Wanted};

/// A query's text, in characters.
const TEXT_CHARS_MAX: usize = 500;
/// How deep a search may be paged: each page costs as much as all before it.
const REACH_MAX: usize = 10_000;
/// Facets, and values filtered by, of one search.
const FACETS_MAX: usize = 20;
const VALUES_MAX: usize = 50;
/// What a search adds to a product, more or less: sizes a buffer, bounds nothing.
const ADDED_BYTES_USUAL: usize = 512;

/// What is said of all that was found.
#[derive(Serialize)]
struct Results<'a> {
    total: usize,
    facets: &'a BTreeMap<String, Vec<FacetValue>>,
    took_us: u128,
    corrected: Option<&'a str>,
}

/// What is added to a product where a search shows it.
#[derive(Serialize)]
struct Item<'a> {
    score: f32,
    highlights: &'a BTreeMap<&'static str, String>,
}

pub(super) async fn search(State(app): State<Products>, uri: Uri) -> Result<Response, Problem> {
    let wanted = wanted(query(&uri)?)?;
    let (about, started) = (about(&app), Instant::now());
    let found = app.search.find(wanted).await?;
    let took_us = started.elapsed().as_micros();
    let body = answer(&found, took_us).map_err(Problem::internal)?;
    let json = [(CONTENT_TYPE, "application/json")];
    Ok(cached((json, body).into_response(), about))
}

/// What an answer of the index tells of, if it is asked from now on.
fn about(app: &Products) -> About {
    if app.search.freshness().is_level() {
        About::Catalogue
    } else {
        About::Lagging
    }
}

/// The answer to a search. Products are put into it ready made, as they are shown
/// elsewhere.
fn answer(found: &Found, took_us: u128) -> serde_json::Result<Vec<u8>> {
    let Found { total, facets, corrected, hits } = found;
    let bytes: usize = hits.iter().map(|hit| hit.shown.len()).sum();
    let mut body = Vec::with_capacity(bytes + hits.len() * ADDED_BYTES_USUAL);
    body.extend_from_slice(b"{\"items\":[");
    for (place, Hit { shown, score, highlights }) in hits.iter().enumerate() {
        if place > 0 {
            body.push(b',');
        }
        join(&mut body, shown.body(), &Item { score: *score, highlights })?;
    }
    body.push(b']');
    let (facets, corrected) = (facets, corrected.as_deref());
    join(
        &mut body,
        b"}",
        &Results { total: *total, facets, took_us, corrected },
    )?;
    Ok(body)
}

/// Appends an object with the members of another one at its end.
fn join(out: &mut Vec<u8>, object: &[u8], added: &impl Serialize) -> serde_json::Result<()> {
    out.extend_from_slice(object.strip_suffix(b"}").unwrap_or(object));
    let begin = out.len();
    serde_json::to_writer(&mut *out, added)?;
    // Its opening brace.
    out[begin] = b',';
    Ok(())
}

/// Reads a search's parameters; a filter may come more than once.
fn wanted(pairs: Vec<(String, String)>) -> Result<Wanted, Problem> {
    let mut wanted = Wanted { limit: PAGE_ITEMS.0, ..Wanted::default() };
    let mut values = 0;
    for (name, value) in pairs {
        let filters = &mut wanted.filters;
        match name.as_str() {
            "q" => wanted.text = text(value)?,
            "category" if !value.is_empty() => filters.categories.push(value),
            "brand" if !value.is_empty() => filters.brands.push(value),
            "category" | "brand" => continue,
            "price_min" => filters.price_min = Some(number(&name, &value)?),
            "price_max" => filters.price_max = Some(number(&name, &value)?),
            "available" => filters.available = Some(flag(&value)?),
            "sort" => wanted.sort = sort(&value)?,
            "limit" => wanted.limit = number(&name, &value)?,
            "offset" => wanted.offset = number(&name, &value)?,
            "facets" => wanted.facets = facets(&value)?,
            _ => match name.strip_prefix("attr.") {
                Some(attribute) if !attribute.is_empty() => {
                    let attribute = attribute.to_owned();
                    filters.attributes.entry(attribute).or_default().push(value);
                }
                _ => {
                    let why = format!("no search is narrowed by `{name}`");
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
    if !(1..=PAGE_ITEMS.1).contains(&wanted.limit) {
        return Err(Problem::bad_request("limit must be 1..100"));
    }
    if wanted.offset.saturating_add(wanted.limit) > REACH_MAX {
        let why = format!(
            "offset and limit together must be at most {REACH_MAX}; narrow the search instead"
        );
        return Err(Problem::bad_request(why));
    }
    Ok(wanted)
}

fn text(value: String) -> Result<String, Problem> {
    if value.chars().count() > TEXT_CHARS_MAX {
        let why = format!("q must be at most {TEXT_CHARS_MAX} characters");
        return Err(Problem::bad_request(why));
    }
    Ok(value)
}

fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, Problem> {
    value
        .parse()
        .map_err(|_| Problem::bad_request(format!("{name} must be a whole number")))
}

fn flag(value: &str) -> Result<bool, Problem> {
    value
        .parse()
        .map_err(|_| Problem::bad_request("available must be true or false"))
}

fn sort(value: &str) -> Result<Sort, Problem> {
    match value {
        "relevance" => Ok(Sort::Relevance),
        "price" => Ok(Sort::Cheapest),
        "-price" => Ok(Sort::Dearest),
        "created_at" => Ok(Sort::Oldest),
        "-created_at" => Ok(Sort::Newest),
        "rating" => Ok(Sort::BestRated),
        _ => Err(Problem::bad_request(
            "sort must be one of relevance, price, -price, created_at, -created_at, rating",
        )),
    }
}

/// What can be the name of an attribute; the index keeps control characters for
/// itself.
fn is_attribute(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(char::is_control)
}

fn facets(value: &str) -> Result<Vec<(String, Facet)>, Problem> {
    let names = value.split(',').map(str::trim);
    let facets = names
        .filter(|name| !name.is_empty())
        .map(|name| {
            let facet = match (name, name.strip_prefix("attr.")) {
                ("category", _) => Facet::Category,
                ("brand", _) => Facet::Brand,
                ("price", _) => Facet::Price,
                (_, Some(attribute)) if is_attribute(attribute) => {
                    Facet::Attribute(attribute.to_owned())
                }
                _ => {
                    let why = format!("no facet is called `{name}`; there are brand, category, price and attr.<name>");
                    return Err(Problem::bad_request(why));
                }
            };
            Ok((name.to_owned(), facet))
        })
        .collect::<Result<Vec<_>, _>>()?;
    if facets.len() > FACETS_MAX {
        let why = format!("a search counts at most {FACETS_MAX} facets");
        return Err(Problem::bad_request(why));
    }
    Ok(facets)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SuggestQuery {
    #[serde(default)]
    q: String,
}

#[derive(Serialize)]
struct Suggestions {
    items: Vec<String>,
}

pub(super) async fn suggest(State(app): State<Products>, uri: Uri) -> Result<Response, Problem> {
    let SuggestQuery { q } = query(&uri)?;
    let about = about(&app);
    let items = app.search.suggest(text(q)?).await?;
    Ok(cached(Json(Suggestions { items }).into_response(), about))
}
