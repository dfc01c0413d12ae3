//! [`Route`], a row of the table, and the types of its columns.

use std::time::Duration;

use http::Method;

use crate::KeyScope;

/// A JSON request body, in bytes. Larger than any order or product may be, small
/// enough that a thousand of them at once are no danger.
pub const JSON_BODY_BYTES_MAX: usize = 1024 * 1024;

/// An import's body, in bytes. It is streamed, so this bounds time, not memory.
pub const IMPORT_BODY_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// How long a request may take in a service. The longest wait inside one is 2 s, for an
/// order's stock; the rest is left to a slow disk.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a streamed body may make no progress: a slow disk behind a full queue.
const STREAM_TIMEOUT: Duration = Duration::from_secs(120);

/// One route of the HTTP API.
#[derive(Debug)]
pub struct Route {
    /// The method. `HEAD` is answered wherever `GET` is.
    pub method: Method,
    /// The path, with `{name}` for a segment that varies.
    pub path: &'static str,
    /// The service that answers.
    pub service: Service,
    /// Who may call.
    pub access: Access,
    /// The largest request body, in bytes.
    pub body_bytes_max: u64,
    /// The names of its query parameters, one that ends in `*` for all that begin so;
    /// `None` where any may be there and none is read.
    pub query: Option<&'static [&'static str]>,
    /// How long until the head of the response.
    pub timeout: Timeout,
    /// Whether the response only ends because one side ends it.
    pub streaming: bool,
    /// Whether `Idempotency-Key` is honoured.
    pub idempotent: bool,
    /// The scope that an API key needs; without one API keys are refused.
    pub scope: Option<KeyScope>,
}

/// The process that answers a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// Accounts, sessions and keys.
    Users,
    /// Catalogue, stock and search.
    Products,
    /// Orders and payments.
    Orders,
    /// Inboxes, mail and webhooks.
    Notifications,
    /// A page of the gateway's own.
    Gateway,
    /// Every service for itself; the gateway collects their responses.
    Each,
}

impl Service {
    /// The name in the mesh and in the data folder; `None` for [`Service::Each`].
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::Users => Some("users"),
            Self::Products => Some("products"),
            Self::Orders => Some("orders"),
            Self::Notifications => Some("notifications"),
            Self::Gateway => Some("gateway"),
            Self::Each => None,
        }
    }
}

/// Who may call a route.
///
/// The gateway forwards nothing without a valid access token where one is needed;
/// the handler's extractor checks the token again, and the role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anyone. The body proves who asks (a password, a code, a signature), so a token
    /// is neither checked nor forwarded: a client that renews an expired one may well
    /// send it along.
    ProvenByBody,
    /// Anyone; a token may be left out, but not be invalid.
    Anyone,
    /// Anyone with an account, and who sends the token of the thing that they ask for.
    Holder,
    /// Anyone with an account.
    Customer,
    /// Staff and admins.
    Staff,
    /// Admins.
    Admin,
    /// Programs on this host without a token, and admins. Scripts of web sites are not among
    /// them, although a browser on this host runs them.
    HostOrAdmin,
}

/// How long a response may be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timeout {
    /// From the moment the request is sent, its body included.
    Total(Duration),
    /// From the last piece of the request's body that was passed on.
    Idle(Duration),
}

impl Route {
    const fn new(method: Method, path: &'static str, service: Service, access: Access) -> Self {
        Self {
            method,
            path,
            service,
            access,
            body_bytes_max: JSON_BODY_BYTES_MAX as u64,
            query: Some(&[]),
            timeout: Timeout::Total(REQUEST_TIMEOUT),
            streaming: false,
            idempotent: false,
            scope: None,
        }
    }

    /// Whether the route has a query parameter of this name.
    pub fn has_parameter(&self, name: &str) -> bool {
        self.query.is_none_or(|names| {
            names.iter().any(|known| match known.strip_suffix('*') {
                Some(prefix) => name.starts_with(prefix),
                None => *known == name,
            })
        })
    }

    pub(crate) const fn get(path: &'static str, service: Service, access: Access) -> Self {
        Self::new(Method::GET, path, service, access)
    }

    pub(crate) const fn post(path: &'static str, service: Service, access: Access) -> Self {
        Self::new(Method::POST, path, service, access)
    }

    pub(crate) const fn put(path: &'static str, service: Service, access: Access) -> Self {
        Self::new(Method::PUT, path, service, access)
    }

    pub(crate) const fn patch(path: &'static str, service: Service, access: Access) -> Self {
        Self::new(Method::PATCH, path, service, access)
    }

    pub(crate) const fn delete(path: &'static str, service: Service, access: Access) -> Self {
        Self::new(Method::DELETE, path, service, access)
    }

    /// Takes these query parameters.
    pub(crate) const fn query(mut self, names: &'static [&'static str]) -> Self {
        self.query = Some(names);
        self
    }

    /// A page for people: the links that lead to it may have parameters of other sites.
    pub(crate) const fn page(mut self) -> Self {
        self.query = None;
        self
    }

    /// Bodies in either direction go on for as long as they move.
    pub(crate) const fn bulk(mut self) -> Self {
        self.body_bytes_max = IMPORT_BODY_BYTES_MAX;
        self.timeout = Timeout::Idle(STREAM_TIMEOUT);
        self
    }

    pub(crate) const fn streaming(mut self) -> Self {
        self.streaming = true;
        self
    }

    /// May be called with an API key of this scope.
    pub(crate) const fn scope(mut self, scope: KeyScope) -> Self {
        self.scope = Some(scope);
        self
    }

    pub(crate) const fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }
}
