//! Readiness and warnings of the whole shop: every service is asked for its own.
//!
//! **Invariant:** a service that does not answer in time is not ready. Warnings are for
//! admins, so `/readyz`, which anyone may read, does not have them.

use std::time::Duration;

use chassis::{Health, Problem};
use futures::future::join_all;
use http::{Response, StatusCode};
use serde_json::{Map, Value, json};

use crate::aggregate::{Unanswered, ask};
use crate::body::{Body, json_page};
use crate::routing::SERVICES;
use crate::upstream::Upstreams;

/// Timeout of a service's readiness check.
const READY_TIMEOUT: Duration = Duration::from_secs(1);

/// What each service said about itself, the gateway last.
pub(crate) struct Readiness(Vec<(&'static str, Said)>);

/// A service's warnings if it is ready, else the reason why not.
type Said = Result<Vec<String>, String>;

impl Readiness {
    /// Asks every service.
    pub(crate) async fn survey(own: &Health, upstreams: &Upstreams) -> Self {
        let asked = SERVICES.map(|service| async move {
            let said = ask(upstreams, service, "/readyz", None, READY_TIMEOUT).await;
            let said = said.map(|body| warnings(&body));
            (service, said.map_err(Unanswered::into_reason))
        });
        let mut all = join_all(asked).await;
        let missing = own.missing();
        let said = match missing.is_empty() {
            true => Ok(own.warnings()),
            false => Err(missing.join("; ")),
        };
        all.push(("gateway", said));
        Self(all)
    }

    /// The reasons why not all is well: services that are not ready, and warnings.
    pub(crate) fn faults(&self) -> Vec<String> {
        let of_service = |(name, said): &(&str, Said)| {
            let faults = match said {
                Ok(warnings) => warnings.clone(),
                Err(why) => vec![why.clone()],
            };
            let named = faults.into_iter().map(|fault| format!("{name}: {fault}"));
            named.collect::<Vec<_>>()
        };
        self.0.iter().flat_map(of_service).collect()
    }

    /// The response of `/readyz`: 200 when every service is alive and ready.
    ///
    /// # Errors
    /// 503 with the reason of each that is not.
    pub(crate) fn into_response(self) -> Result<Response<Body>, Problem> {
        let services: Map<String, Value> = self
            .0
            .iter()
            .map(|(name, said)| {
                let said = said.as_ref().map_or_else(String::as_str, |_| "ok");
                ((*name).to_owned(), said.into())
            })
            .collect();
        let missing: Vec<String> = self
            .0
            .iter()
            .filter_map(|(name, said)| said.as_ref().err().map(|why| format!("{name}: {why}")))
            .collect();
        if missing.is_empty() {
            return Ok(json_page(&json!({ "status": "ok", "services": services })));
        }
        let (status, detail) = (StatusCode::SERVICE_UNAVAILABLE, missing.join("; "));
        Err(Problem::new(status, "not-ready", "Not ready yet", detail).member("services", services))
    }
}

/// The warnings in a service's answer.
fn warnings(body: &Value) -> Vec<String> {
    let warnings = body["warnings"].as_array().into_iter().flatten();
    let texts = warnings.filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}
