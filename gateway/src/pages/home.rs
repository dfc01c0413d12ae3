//! The page at `/`: a browser is shown where to go, a program gets an index of the API.

use bytes::Bytes;
use http::header::{ACCEPT, VARY};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response};
use serde_json::json;

use super::files::{PageFile, pages_file};
use crate::body::{Body, json_page};

/// The page for browsers.
static PAGE: PageFile = PageFile::page(pages_file!("home.html"));

/// Responds with the page to a request that accepts HTML, with the index to others.
pub(super) fn home(parts: &Parts) -> Response<Body> {
    let mut response = if accepts_html(&parts.headers) {
        PAGE.response()
    } else {
        json_page(&json!({
            "openapi": "/openapi.json",
            "docs": "/docs",
            "console": "/_/",
            "products": "/v1/products",
            "search": "/v1/products/search",
            "categories": "/v1/categories",
            "sessions": "/v1/sessions",
            "orders": "/v1/orders",
        }))
    };
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("Accept"));
    response
}

/// Whether `Accept` names HTML, which browsers do and programs do not.
fn accepts_html(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(ACCEPT).iter();
    accepted.any(|value| value.to_str().is_ok_and(|text| text.contains("text/html")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;
    use http::header::CONTENT_TYPE;

    #[test]
    fn a_browser_gets_a_page_and_a_program_an_index() {
        for (accept, kind) in [
            ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html"),
            ("*/*", "application/json"),
            ("application/json", "application/json"),
        ] {
            let request = Request::get("/").header(ACCEPT, accept).body(()).unwrap();
            let response = home(&request.into_parts().0);
            let found = response.headers()[CONTENT_TYPE].to_str().unwrap();
            assert!(found.starts_with(kind), "{accept}: {found}");
            assert_eq!(response.headers()[VARY], "Accept");
        }
    }
}
