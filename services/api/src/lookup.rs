//! [`find`]: the row that answers a method and a path.
//!
//! The index is matchit's, which axum's router is built on, so the gateway and the
//! services agree on which pattern a path belongs to. A path is compared as it was sent:
//! nothing is decoded or normalised here.

use std::sync::LazyLock;

use http::Method;
use matchit::Router;

use crate::{ROUTES, Route};

/// The result of [`find`].
#[derive(Debug, Clone, Copy)]
pub enum Found {
    /// The row; for `HEAD` that of `GET`.
    Route(&'static Route),
    /// The path takes other methods: [`Route::methods`] of this row lists them.
    OtherMethod(&'static Route),
    /// No row has this path.
    Nothing,
}

/// The rows of each path.
static INDEX: LazyLock<Router<Vec<&'static Route>>> = LazyLock::new(|| {
    let mut index: Router<Vec<&'static Route>> = Router::new();
    for &route in ROUTES {
        match index.at_mut(route.path) {
            Ok(found) if found.value[0].path == route.path => found.value.push(route),
            _ => index
                .insert(route.path, vec![route])
                .expect("paths of the table do not conflict"),
        }
    }
    index
});

/// The row that answers `method` at `path`.
pub fn find(method: &Method, path: &str) -> Found {
    let Ok(rows) = INDEX.at(path).map(|found| found.value) else {
        return Found::Nothing;
    };
    let wanted = if method == Method::HEAD { &Method::GET } else { method };
    match rows.iter().find(|route| route.method == *wanted) {
        Some(route) => Found::Route(route),
        None => Found::OtherMethod(rows[0]),
    }
}

impl Route {
    /// Method and path, `POST /v1/orders`.
    pub fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// The methods of this path, in the order of the rows, with `HEAD` beside `GET` and
    /// `OPTIONS` last: the value of `Allow` (RFC 9110 §10.2.1).
    pub fn methods(&self) -> impl Iterator<Item = &'static str> + use<'_> {
        let rows = ROUTES.iter().filter(|route| route.path == self.path);
        let methods = rows.flat_map(|route| {
            let head = (route.method == Method::GET).then_some("HEAD");
            std::iter::once(route.method.as_str()).chain(head)
        });
        methods.chain(std::iter::once("OPTIONS"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_match_whole_segments_and_literal_rows_first() {
        let path = |method: Method, path: &str| match find(&method, path) {
            Found::Route(route) => Some(route.path),
            Found::OtherMethod(_) | Found::Nothing => None,
        };
        assert_eq!(path(Method::GET, "/v1/orders"), Some("/v1/orders"));
        assert_eq!(path(Method::HEAD, "/v1/orders/x"), Some("/v1/orders/{id}"));
        assert_eq!(path(Method::GET, "/v1/users/me"), Some("/v1/users/me"));
        assert_eq!(path(Method::GET, "/v1/users/you"), Some("/v1/users/{id}"));
        let import = "/v1/products/import";
        assert_eq!(path(Method::POST, import), Some(import));
        // A literal path hides the pattern beside it, for every method.
        assert_eq!(path(Method::GET, import), None);
        for unknown in [
            "//",
            "/v1",
            "/v1/ordersx",
            "/v1%2forders",
            "//v1/orders",
            "/v1/orders/",
        ] {
            assert_eq!(path(Method::GET, unknown), None, "{unknown}");
        }
        let Found::OtherMethod(route) = find(&Method::DELETE, "/v1/products/x/stock") else {
            panic!("DELETE is not a method of stock");
        };
        let allow: Vec<_> = route.methods().collect();
        assert_eq!(allow, ["GET", "HEAD", "POST", "PUT", "OPTIONS"]);
    }

    #[test]
    fn rows_are_unique_and_reachable() {
        for route in ROUTES {
            let Found::Route(found) = find(&route.method, route.path) else {
                panic!("unreachable: {route:?}");
            };
            assert!(std::ptr::eq(found, *route), "hidden: {route:?}");
        }
    }
}
