//! The files of the gateway: the console, the page that undoes a change of e-mail address, and
//! the description of the API. They are the same for every request.
//!
//! **Invariant:** a page runs only the scripts of this shop and connects to this shop only.

use std::sync::LazyLock;

use api::{Route, routes};
use bytes::Bytes;
use http::header::CONTENT_SECURITY_POLICY;
use http::{HeaderValue, Response};
use model::Currency;
use serde_json::{Map, Value};

use crate::body::{Body, typed_page};

/// `openapi.yaml` as JSON.
pub(super) const OPENAPI: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/openapi.json"));

/// A page with scripts and style sheets of its own.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// The page contains its style and script and fetches only the document.
const DOCS_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// The minor digits of currencies, by [`Currency::minor_digits`], so that the console and
/// mails show one amount alike.
static CURRENCIES: LazyLock<Bytes> = LazyLock::new(|| {
    let digits = |currency: Currency| (currency.to_string(), currency.minor_digits().into());
    let digits: Map<String, Value> = Currency::all().map(digits).collect();
    let digits = Value::from(digits);
    format!(
        "// Decimal digits of the minor unit, by ISO 4217.\nexport const MINOR_DIGITS = {digits};\n"
    )
    .into()
});

/// A file: its media type, its Content-Security-Policy if it is a page, its content.
pub(super) struct PageFile {
    kind: &'static str,
    policy: Option<&'static str>,
    content: fn() -> Bytes,
}

impl PageFile {
    /// A page for people, with scripts and style sheets of its own.
    pub(super) const fn page(content: fn() -> Bytes) -> Self {
        Self { kind: HTML, policy: Some(PAGE_POLICY), content }
    }

    const fn script(content: fn() -> Bytes) -> Self {
        Self { kind: SCRIPT, policy: None, content }
    }

    pub(super) fn response(&self) -> Response<Body> {
        let mut response = typed_page(self.kind, (self.content)());
        if let Some(policy) = self.policy {
            let policy = HeaderValue::from_static(policy);
            let headers = response.headers_mut();
            headers.insert(CONTENT_SECURITY_POLICY, policy);
        }
        response
    }
}

/// A file below `pages/`, compiled in.
macro_rules! pages_file {
    ($name:literal) => {
        || Bytes::from_static(include_bytes!(concat!("../../pages/", $name)))
    };
}
pub(super) use pages_file;

/// The file of each row that is one.
static FILES: [(&Route, PageFile); 9] = [
    (
        &routes::GET_OPENAPI,
        PageFile {
            kind: "application/json",
            policy: None,
            content: || Bytes::from_static(OPENAPI),
        },
    ),
    (
        &routes::GET_DOCS,
        PageFile {
            kind: HTML,
            policy: Some(DOCS_POLICY),
            content: pages_file!("docs.html"),
        },
    ),
    (
        &routes::GET_CONSOLE,
        PageFile::page(pages_file!("console.html")),
    ),
    (
        &routes::GET_CONSOLE_SCRIPT,
        PageFile::script(pages_file!("console.js")),
    ),
    (
        &routes::GET_SESSION_SCRIPT,
        PageFile::script(pages_file!("session.js")),
    ),
    (
        &routes::GET_CURRENCIES_SCRIPT,
        PageFile::script(|| CURRENCIES.clone()),
    ),
    (
        &routes::GET_CONSOLE_STYLE,
        PageFile {
            kind: STYLE,
            policy: None,
            content: pages_file!("console.css"),
        },
    ),
    (&routes::GET_UNDO, PageFile::page(pages_file!("undo.html"))),
    (
        &routes::GET_UNDO_SCRIPT,
        PageFile::script(pages_file!("undo.js")),
    ),
];

/// The file of a row.
pub(super) fn of(route: &Route) -> Option<&'static PageFile> {
    let found = FILES.iter().find(|(row, _)| std::ptr::eq(*row, route));
    found.map(|(_, file)| file)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shop may be used over plain HTTP in a local network, where a browser does not have
    /// these interfaces (W3C "Secure Contexts").
    #[test]
    fn scripts_need_no_secure_context_and_insert_no_markup() {
        // Web Locks are used where there are any.
        let refused = [
            "randomUUID",
            "crypto.subtle",
            "navigator.clipboard",
            "serviceWorker",
            "caches.",
            "cookieStore",
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
        ];
        for (route, file) in &FILES {
            if ![HTML, SCRIPT].contains(&file.kind) {
                continue;
            }
            let content = (file.content)();
            let text = std::str::from_utf8(&content).unwrap();
            for name in refused {
                assert!(!text.contains(name), "{} has {name}", route.path);
            }
            assert_eq!(
                text.matches("navigator.locks").count(),
                2 * text.matches("if (navigator.locks)").count(),
                "{}: Web Locks without a test for them",
                route.path
            );
        }
    }

    #[test]
    fn the_console_offers_every_scope_of_keys() {
        for scope in api::KeyScope::ALL {
            let name = format!("\"{}\"", scope.name());
            let script = include_str!("../../pages/console.js");
            assert!(script.contains(&name), "{name}");
        }
    }

    #[test]
    fn the_console_gets_the_minor_digits_of_every_currency() {
        let script = std::str::from_utf8(&CURRENCIES).unwrap();
        for (code, digits) in [("EUR", 2), ("HUF", 2), ("JPY", 0), ("IQD", 3), ("CLF", 4)] {
            let entry = format!("\"{code}\":{digits}");
            assert!(script.contains(&entry), "{entry} is missing: {script}");
        }
    }
}
