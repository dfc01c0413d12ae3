//! The query of a request: its names are those of the route's row, and an empty parameter is
//! an absent one.
//!
//! A misspelt filter that is ignored returns everything, so an unknown name is refused. Rows
//! of the route table name the parameters, so every service refuses alike.
//!
//! **Invariant:** what the cache and the services read has no unknown and no empty parameter.

use std::borrow::Cow;

use api::Route;
use chassis::Problem;
use http::Uri;
use http::request::Parts;
use http::uri::PathAndQuery;

/// Leaves the parameters that have a value in the request's query.
///
/// # Errors
/// 400 for a name that the row does not have.
pub(crate) fn normalise(parts: &mut Parts, route: &Route) -> Result<(), Problem> {
    let Some(query) = parts.uri.query().filter(|_| route.query.is_some()) else {
        return Ok(());
    };
    let mut is_normal = true;
    for pair in query.split('&') {
        let name = decoded(pair.split_once('=').map_or(pair, |(name, _)| name));
        if !name.is_empty() && !route.has_parameter(&name) {
            return Err(Problem::bad_request(unknown(&name, route)));
        }
        is_normal &= has_value(pair);
    }
    if is_normal {
        return Ok(());
    }
    let kept: Vec<_> = query.split('&').filter(|pair| has_value(pair)).collect();
    let kept = kept.join("&");
    let path = parts.uri.path();
    let target = match kept.as_str() {
        "" => path.to_owned(),
        kept => format!("{path}?{kept}"),
    };
    let target = PathAndQuery::try_from(target);
    parts.uri = Uri::from(target.map_err(|error| Problem::bad_request(error.to_string()))?);
    Ok(())
}

/// Whether a pair has a name and a value.
fn has_value(pair: &str) -> bool {
    matches!(pair.split_once('='), Some((name, value)) if !name.is_empty() && !value.is_empty())
}

/// A name without its escapes.
fn decoded(name: &str) -> Cow<'_, str> {
    if !name.contains(['%', '+']) {
        return Cow::Borrowed(name);
    }
    let mut pairs = form_urlencoded::parse(name.as_bytes());
    pairs.next().map_or(Cow::Borrowed(""), |(name, _)| name)
}

fn unknown(name: &str, route: &Route) -> String {
    match route.query.unwrap_or_default() {
        [] => format!("there is no parameter `{name}`: {} has none", route.name()),
        names => {
            let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
            format!(
                "there is no parameter `{name}`: {} has {}",
                route.name(),
                names.join(", ")
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use api::routes::{GET_CONSOLE, GET_ORDER, LIST_ORDERS, SEARCH_PRODUCTS};

    use super::*;

    #[test]
    fn names_are_those_of_the_row_and_values_are_not_empty() {
        for (route, sent, kept) in [
            (&LIST_ORDERS, "/v1/orders", Some("/v1/orders")),
            (&LIST_ORDERS, "/v1/orders?", Some("/v1/orders")),
            (
                &LIST_ORDERS,
                "/v1/orders?status=paid&limit=3",
                Some("/v1/orders?status=paid&limit=3"),
            ),
            (
                &LIST_ORDERS,
                "/v1/orders?st%61tus=paid",
                Some("/v1/orders?st%61tus=paid"),
            ),
            (
                &LIST_ORDERS,
                "/v1/orders?status=&&limit=3&cursor",
                Some("/v1/orders?limit=3"),
            ),
            (&LIST_ORDERS, "/v1/orders?status=", Some("/v1/orders")),
            (&LIST_ORDERS, "/v1/orders?stauts=paid", None),
            (&LIST_ORDERS, "/v1/orders?stauts", None),
            (&LIST_ORDERS, "/v1/orders?Status=paid", None),
            (&GET_ORDER, "/v1/orders/x?a=", None),
            (
                &SEARCH_PRODUCTS,
                "/s?attr.Colour+of=red&q=%20",
                Some("/s?attr.Colour+of=red&q=%20"),
            ),
            (&SEARCH_PRODUCTS, "/s?attribute=red", None),
            (
                &GET_CONSOLE,
                "/_/?utm_source=mail&x=",
                Some("/_/?utm_source=mail&x="),
            ),
        ] {
            let (mut parts, ()) = http::Request::get(sent).body(()).unwrap().into_parts();
            let read = normalise(&mut parts, route);
            let uri = read.is_ok().then(|| parts.uri.to_string());
            assert_eq!(uri.as_deref(), kept, "{sent}");
        }
    }
}
