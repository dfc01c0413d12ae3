//! What a scenario gives the driver and gets from it: requests, answers, and how each is
//! judged.
//!
//! **Invariant:** a request is written before its operation starts, so no measured time is a
//! scenario's own.

use std::fmt::{self, Write as _};
use std::io;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

/// A request as it is sent over any version of HTTP. Reused from one operation to the next.
#[derive(Default)]
pub(crate) struct LoadRequest {
    pub(crate) method: &'static str,
    /// With its query.
    pub(crate) path: String,
    /// Fields other than `host` and `content-length`, each with its line end.
    pub(crate) fields: String,
    pub(crate) body: String,
}

impl LoadRequest {
    /// Starts anew.
    pub(super) fn clear(&mut self) {
        self.method = "GET";
        self.path.clear();
        self.fields.clear();
        self.body.clear();
    }

    /// Reads the path made of these segments.
    pub(crate) fn get(&mut self, path: &str) -> &mut Self {
        self.path.push_str(path);
        self
    }

    /// Adds a query to the path.
    pub(crate) fn query<'a>(&mut self, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) {
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(pairs)
            .finish();
        self.path.push('?');
        self.path.push_str(&query);
    }

    /// Posts JSON to a path.
    pub(crate) fn post(&mut self, path: &str, body: fmt::Arguments<'_>) -> &mut Self {
        self.method = "POST";
        self.path.push_str(path);
        self.body.write_fmt(body).expect("a String takes any text");
        self.field("content-type", "application/json")
    }

    /// Places an order of these products and quantities.
    pub(crate) fn order(&mut self, token: &str, items: &[(&str, u64)]) -> &mut Self {
        self.post("/v1/orders", format_args!("{}", Items(items)))
            .bearer(token)
    }

    /// Adds a field of the head.
    pub(crate) fn field(&mut self, name: &str, value: &str) -> &mut Self {
        for part in [name, ": ", value, "\r\n"] {
            self.fields.push_str(part);
        }
        self
    }

    /// Adds an access token.
    pub(crate) fn bearer(&mut self, token: &str) -> &mut Self {
        for part in ["authorization: Bearer ", token, "\r\n"] {
            self.fields.push_str(part);
        }
        self
    }
}

/// The lines of an order or a cart, as JSON.
pub(crate) struct Items<'a>(pub(crate) &'a [(&'a str, u64)]);

impl fmt::Display for Items<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(r#"{"items":["#)?;
        let mut comma = "";
        for (product, quantity) in self.0 {
            write!(
                f,
                r#"{comma}{{"product_id":"{product}","quantity":{quantity}}}"#
            )?;
            comma = ",";
        }
        f.write_str("]}")
    }
}

/// A response, read to its end.
pub(crate) struct LoadResponse<'a> {
    pub(crate) status: u16,
    /// The value of `location`.
    pub(crate) location: Option<&'a str>,
    /// The value of `retry-after`, in seconds.
    pub(crate) retry_after: Option<u64>,
    /// Whether it repeats an earlier response under the same key.
    pub(crate) is_replayed: bool,
    pub(crate) body: &'a [u8],
}

impl LoadResponse<'_> {
    /// The body as `T`, if it is one.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(self.body).ok()
    }
}

/// One operation that has ended.
pub(crate) struct LoadOperation<'a> {
    /// Its worker, from 0.
    pub(crate) worker: usize,
    /// As [`Requests::next`] returned it.
    pub(crate) kind: usize,
    pub(crate) response: Result<LoadResponse<'a>, io::Error>,
    /// The intended start.
    pub(crate) due: Instant,
    /// From the intended start to the end.
    pub(crate) response_time: Duration,
}

impl LoadOperation<'_> {
    /// The status, or 0 without a response.
    pub(crate) fn status(&self) -> u16 {
        self.response.as_ref().map_or(0, |response| response.status)
    }

    /// The status and the body, or why there is none.
    pub(crate) fn describe(&self) -> String {
        match &self.response {
            Ok(LoadResponse { status, body, .. }) => {
                format!("{status} {}", String::from_utf8_lossy(body))
            }
            Err(error) => error.to_string(),
        }
    }
}

/// A scenario's opinion of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// As expected: its times count.
    Expected,
    Failed,
    /// Nothing was done: the same request is to be sent again after this.
    Again(Duration),
}

impl Judgement {
    /// Expected if `is_expected`.
    pub(crate) fn of(is_expected: bool) -> Self {
        if is_expected { Self::Expected } else { Self::Failed }
    }
}

/// What a scenario sends. The driver has one thread, and calls this from nowhere else.
pub(crate) trait Requests: Send + 'static {
    /// The kinds of its operations; [`next`](Self::next) returns an index of these.
    fn kinds(&self) -> Vec<String>;

    /// Writes the next request of a worker into an empty one, and returns its kind; `None` ends
    /// the run.
    fn next(&mut self, worker: usize, request: &mut LoadRequest) -> Option<usize>;

    /// Judges a response. Success is expected, unless a scenario says otherwise.
    fn judge(&mut self, operation: &LoadOperation<'_>) -> Judgement {
        Judgement::of((200..300).contains(&operation.status()))
    }
}
