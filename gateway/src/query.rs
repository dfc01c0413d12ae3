//! The query of a request: its names are those of the route's row, its values are texts as
//! they are stored, and an empty parameter is an absent one.
//!
//! A misspelt filter that is ignored returns everything, so an unknown name is refused; and a
//! filter in another form than the texts that it is compared with returns nothing, so values
//! are normalised as fields are. Rows of the route table name the parameters, so every service
//! reads alike.
//!
//! **Invariant:** what the cache and the services read has no unknown and no empty parameter,
//! and two spellings of a value are one.

use std::borrow::Cow;

use api::Route;
use chassis::Problem;
use http::Uri;
use http::request::Parts;
use http::uri::PathAndQuery;

/// What a person types: a blank at its end says that the last word is whole.
const TYPED: &str = "q";

/// Leaves the parameters that have a value in the request's query, each in its normal form.
///
/// # Errors
/// 400 for a name that the row does not have.
pub(crate) fn normalise(parts: &mut Parts, route: &Route) -> Result<(), Problem> {
    let Some(query) = parts.uri.query().filter(|_| route.query.is_some()) else {
        return Ok(());
    };
    for pair in query.split('&') {
        let name = decoded(pair.split_once('=').map_or(pair, |(name, _)| name));
        if !name.is_empty() && !route.has_parameter(&name) {
            return Err(Problem::bad_request(unknown(&name, route)));
        }
    }
    let is_normal = |pair| matches!(normal(pair), Some(Cow::Borrowed(_)));
    if query.split('&').all(is_normal) {
        return Ok(());
    }
    let kept: Vec<_> = query.split('&').filter_map(normal).collect();
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

/// A pair in its normal form; `None` for one without a name or a value.
fn normal(pair: &str) -> Option<Cow<'_, str>> {
    let (name, value) = pair.split_once('=')?;
    if name.is_empty() || value.is_empty() {
        return None;
    }
    let text = decoded(value);
    let normal = model::normalised(&text);
    if *normal == *text || decoded(name) == TYPED {
        return Some(Cow::Borrowed(pair));
    }
    let escaped = form_urlencoded::byte_serialize(normal.as_bytes());
    let pair = escaped.fold(format!("{name}="), |pair, part| pair + part);
    (!normal.is_empty()).then_some(Cow::Owned(pair))
}

/// A name or a value without its escapes.
fn decoded(escaped: &str) -> Cow<'_, str> {
    if !escaped.contains(['%', '+']) {
        return Cow::Borrowed(escaped);
    }
    // As the value of a pair, in which an equals sign is a sign like others.
    let pair = format!("={escaped}");
    let value = form_urlencoded::parse(pair.as_bytes()).next();
    value.map_or(Cow::Borrowed(""), |(_, value)| {
        Cow::Owned(value.into_owned())
    })
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
            // Texts as they are stored; one that is one already is not escaped anew.
            (
                &SEARCH_PRODUCTS,
                "/s?brand=+Mori%C2%A0&tags=cafe%CC%81+%3d=a%20b&q=lamp%20&limit=%203",
                Some("/s?brand=Mori&tags=caf%C3%A9+%3D%3Da+b&q=lamp%20&limit=3"),
            ),
            (
                &SEARCH_PRODUCTS,
                "/s?category=A%20%3e%20B&attr.a=b=c%20d&tags=%FF&brand=%20",
                Some("/s?category=A%20%3e%20B&attr.a=b=c%20d&tags=%FF"),
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
