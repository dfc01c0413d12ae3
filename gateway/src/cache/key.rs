//! What an answer is kept under: the path and the query, its parameters in order.
//!
//! **Invariant:** two targets have one key only if every parameter has the same
//! values in the same order in both. So parameters are sorted by their names and
//! never by their values, and not at all where two names may mean the same.

use std::borrow::Cow;

use http::Uri;

/// The key of a target, which it mostly is itself.
pub(super) fn key(uri: &Uri) -> Cow<'_, str> {
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let Some(query) = uri.query() else {
        return target.into();
    };
    let is_encoded = |pair| name(pair).contains(['%', '+']);
    if query.split('&').is_sorted_by_key(name) || query.split('&').any(is_encoded) {
        return target.into();
    }
    let mut pairs: Vec<&str> = query.split('&').collect();
    pairs.sort_by_key(|pair| name(pair));
    format!("{}?{}", uri.path(), pairs.join("&")).into()
}

fn name(pair: &str) -> &str {
    pair.split_once('=').map_or(pair, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use url::form_urlencoded::parse;

    use super::*;

    /// What a service reads: every name's values, in order.
    fn meaning(uri: &Uri) -> (String, BTreeMap<String, Vec<String>>) {
        let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in parse(uri.query().unwrap_or_default().as_bytes()) {
            let values = values.entry(name.into_owned()).or_default();
            values.push(value.into_owned());
        }
        (uri.path().to_owned(), values)
    }

    fn target(pairs: &[(&str, &str)]) -> Uri {
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        format!("/v1/products?{}", pairs.join("&")).parse().unwrap()
    }

    #[test]
    fn the_order_of_parameters_does_not_matter() {
        let uri: Uri = "/v1/products?sort=title&brand=Aki".parse().unwrap();
        assert_eq!(key(&uri), "/v1/products?brand=Aki&sort=title");
        let sorted: Uri = "/v1/products?brand=Aki&sort=title".parse().unwrap();
        assert!(matches!(key(&sorted), Cow::Borrowed(_)));
    }

    proptest! {
        #[test]
        fn one_key_has_one_meaning(
            pairs in prop::collection::vec(
                (prop::sample::select(vec!["a", "b", "c", "%61", "a+", ""]),
                 prop::sample::select(vec!["1", "2", "%31"])), 0..6),
            swaps in prop::collection::vec((0..6usize, 0..6usize), 0..4),
        ) {
            let mut moved = pairs.clone();
            for (one, other) in swaps {
                if one < moved.len() && other < moved.len() {
                    moved.swap(one, other);
                }
            }
            let (one, other) = (target(&pairs), target(&moved));
            if key(&one) == key(&other) {
                prop_assert_eq!(meaning(&one), meaning(&other));
            }
            let plain = pairs.iter().all(|(name, _)| !name.contains(['%', '+']));
            if plain && meaning(&one) == meaning(&other) {
                prop_assert!(pairs.iter().any(|(_, value)| value.contains('%'))
                    || key(&one) == key(&other));
            }
        }
    }
}
