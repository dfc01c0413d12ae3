//! Cursor pagination: `?limit=` and `?cursor=`, with `{items, next_cursor}` in response.
//!
//! A cursor is the opaque key of a page's last row, so a page stays in place while rows
//! are added before it.
//!
//! ```
//! use chassis::page::{self, Page};
//!
//! let page = Page { items: vec![1, 2], next_cursor: Some(page::cursor(&2_u64)) };
//! assert_eq!(page.map(|item| item * 10).items, [10, 20]);
//! ```

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use store::Key;

use crate::Problem;
use crate::limits::PAGE_ITEMS;

/// The page of a list that a request asks for.
#[derive(Debug, Clone)]
pub struct Paging {
    /// The number of items, 1..=100.
    pub limit: usize,
    cursor: Option<Vec<u8>>,
}

#[derive(Deserialize)]
struct Raw {
    limit: Option<String>,
    cursor: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Paging {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Query(raw) = Query::<Raw>::try_from_uri(&parts.uri)
            .map_err(|error| Problem::bad_request(error.body_text()))?;
        let limit = match raw.limit {
            None => PAGE_ITEMS.0,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=PAGE_ITEMS.1).contains(limit))
                .ok_or_else(|| Problem::bad_request("`limit` must be a number from 1 to 100"))?,
        };
        let cursor = raw.cursor.map(|text| {
            BASE64URL_NOPAD
                .decode(text.as_bytes())
                .map_err(|_| bad_cursor())
        });
        Ok(Self { limit, cursor: cursor.transpose()? })
    }
}

fn bad_cursor() -> Problem {
    Problem::bad_request("`cursor` must be the `next_cursor` of an earlier page of this list")
}

impl Paging {
    /// The key of the last row of the page before, if there was one.
    ///
    /// # Errors
    /// 400 for a cursor that is no key of this list.
    pub fn after<K: Key>(&self) -> Result<Option<K>, Problem> {
        let key = self
            .cursor
            .as_ref()
            .map(|bytes| K::decode(bytes).ok_or_else(bad_cursor));
        key.transpose()
    }

    /// Collects a page from rows in list order, starting after the cursor.
    ///
    /// # Errors
    /// The first row's error.
    pub fn collect<K: Key, T, E>(
        &self,
        rows: impl Iterator<Item = Result<(K, T), E>>,
    ) -> Result<Page<T>, E> {
        let mut rows = rows.peekable();
        let mut items = Vec::new();
        let mut last = None;
        while items.len() < self.limit {
            let Some(row) = rows.next() else { break };
            let (key, item) = row?;
            items.push(item);
            last = Some(key);
        }
        let more = rows.peek().is_some();
        let next_cursor = last.filter(|_| more).map(|key| cursor(&key));
        Ok(Page { items, next_cursor })
    }
}

/// The cursor of the page after the row of this key.
pub fn cursor<K: Key>(key: &K) -> String {
    BASE64URL_NOPAD.encode(&key.encode())
}

/// A page of a list.
#[derive(Debug, Clone, Serialize)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// The cursor of the next page; `None` on the last one.
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// The page with each item converted.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Page<U> {
        Page {
            items: self.items.into_iter().map(f).collect(),
            next_cursor: self.next_cursor,
        }
    }
}
