//! The dead man's switch: a URL that is requested at intervals while all is well, so that a
//! service elsewhere notices a shop that has fallen silent, whatever silenced it.
//!
//! All is well when every service is ready and none has a warning (`readiness`). A ping that
//! fails is repeated soon, because the one who waits for it cannot tell it from a fault.
//!
//! **Invariants:** no ping is sent while anything is wrong. The path of the URL is a secret,
//! and neither logged nor shown.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use chassis::outbound::{Outbound, OutboundLimits};
use chassis::{Context, Error, Health};
use http::header::{CONNECTION, USER_AGENT};
use http::{Request, Uri};
use http_body_util::Full;
use model::Time;
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::json;
use tokio::time::Instant;

use crate::config::MonitoringConfig;
use crate::readiness::Readiness;
use crate::upstream::Upstreams;

/// The longest pause before the next attempt, after one that failed or was withheld.
const RETRY_MAX: Duration = Duration::from_secs(30);

const LIMITS: OutboundLimits = OutboundLimits {
    connect_timeout: Duration::from_secs(10),
    timeout: Duration::from_secs(20),
    body_bytes_max: 0,
};

/// The state of the switch, as `/v1/status` shows it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
struct PingState {
    /// The host that is requested.
    host: String,
    /// When it was last looked whether all is well.
    checked_at: Option<Time>,
    /// When the last ping was answered.
    pinged_at: Option<Time>,
    /// Why the last ping failed, if none has been answered since.
    error: Option<String>,
    /// Why no ping is sent at present.
    withheld: Vec<String>,
}

/// The outcome of one attempt.
enum Attempt {
    Answered,
    /// There was no answer, or another one than success.
    Failed(String),
    /// Not all is well, for these reasons.
    Withheld(Vec<String>),
}

/// Sends the pings.
struct Pinger {
    uri: Uri,
    client: Outbound,
    health: Health,
    upstreams: Upstreams,
    state: Arc<Mutex<PingState>>,
}

/// Starts the task that pings, if the settings name a URL.
///
/// # Errors
/// [`Error::Config`] when the client cannot be set up.
pub(crate) fn start(
    ctx: &Context,
    settings: &MonitoringConfig,
    upstreams: &Upstreams,
) -> Result<(), Error> {
    let Some(url) = &settings.ping_url else {
        return Ok(());
    };
    let Some(uri) = url.uri() else {
        return Err(Error::Config(
            "gateway.monitoring.ping_url is no address".into(),
        ));
    };
    // The operator's own setting, and not a caller's wish: any address is right.
    let any_address = |_: IpAddr| Ok(());
    let state = PingState { host: url.host(), ..PingState::default() };
    let pinger = Pinger {
        uri,
        client: Outbound::new(None, any_address, LIMITS)?,
        health: ctx.health.clone(),
        upstreams: upstreams.clone(),
        state: Arc::new(Mutex::new(state)),
    };
    let shown = pinger.state.clone();
    ctx.status
        .report("monitoring", move || json!(*shown.lock()));
    let (interval, stop) = (settings.interval(), ctx.stop.clone());
    ctx.tasks.spawn(async move {
        stop.run_until_cancelled(pinger.run(interval)).await;
    });
    Ok(())
}

impl Pinger {
    async fn run(self, interval: Duration) {
        loop {
            let begun = Instant::now();
            let attempt = self.attempt().await;
            let pause = match attempt {
                Attempt::Answered => interval,
                Attempt::Failed(_) | Attempt::Withheld(_) => interval.min(RETRY_MAX),
            };
            self.note(attempt);
            tokio::time::sleep_until(begun + pause).await;
        }
    }

    async fn attempt(&self) -> Attempt {
        let faults = Readiness::survey(&self.health, &self.upstreams)
            .await
            .faults();
        if !faults.is_empty() {
            return Attempt::Withheld(faults);
        }
        let request = Request::get(self.uri.clone())
            .header(USER_AGENT, concat!("konbini/", env!("CARGO_PKG_VERSION")))
            .header(CONNECTION, "close")
            .body(Full::default());
        let request = match request {
            Ok(request) => request,
            Err(error) => return Attempt::Failed(error.to_string()),
        };
        match self
            .client
            .beginning(request)
            .await
            .map(|head| head.status())
        {
            Ok(status) if status.is_success() => Attempt::Answered,
            Ok(status) => Attempt::Failed(format!("it responded with {status}")),
            Err(error) => Attempt::Failed(error.to_string()),
        }
    }

    /// Notes an attempt; only a change is logged.
    fn note(&self, attempt: Attempt) {
        let now = model::now();
        let mut state = self.state.lock();
        let before = state.clone();
        state.checked_at = Some(now);
        let host = &before.host;
        match attempt {
            Attempt::Answered => {
                (state.pinged_at, state.error) = (Some(now), None);
                state.withheld.clear();
                if before.error.is_some() || !before.withheld.is_empty() {
                    tracing::info!(%host, "all is well again, and monitoring hears so");
                }
            }
            Attempt::Failed(why) => {
                if before.error.is_none() {
                    tracing::warn!(%host, why, "the ping for monitoring failed; trying again");
                }
                state.error = Some(why);
                state.withheld.clear();
            }
            Attempt::Withheld(faults) => {
                if before.withheld != faults {
                    let why = faults.join("; ");
                    tracing::warn!(%host, why, "not all is well, so monitoring hears nothing");
                }
                state.withheld = faults;
            }
        }
    }
}
