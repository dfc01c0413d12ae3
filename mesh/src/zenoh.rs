//! The transport over Zenoh.
//!
//! Multicast and gossip are off: peers are configured, not discovered. Congestion control
//! is `Drop`, since a blocked publisher would stop a shop for a slow follower; lost messages
//! are recovered from the log. Callbacks run on Zenoh's receiving threads and only `try_send`.
//!
//! Needs a multi-thread tokio runtime: Zenoh panics in a current-thread one.

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use zenoh::Wait;
use zenoh::qos::CongestionControl;
use zenoh::query::{ConsolidationMode, Query};
use zenoh::sample::{Sample, SampleKind};

use crate::transport::{
    Guard, Liveliness, Question, SUBSCRIPTION_MESSAGES_MAX, Sighting, Subscription, Transport,
    TransportError,
};
use crate::{MutualTls, ZenohEndpoints};

/// The longest time a change of a liveliness token takes between busy processes.
const LAG: Duration = Duration::from_millis(250);

/// A peer without a message for this long is gone.
const LEASE: Duration = Duration::from_secs(3);

/// `close` can hang on a dead link (zenoh issue 2675).
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A Zenoh session.
pub struct ZenohTransport {
    session: zenoh::Session,
}

impl ZenohTransport {
    /// Opens a session. Absent peers are retried in the background.
    ///
    /// # Errors
    /// When an endpoint cannot be listened on.
    pub async fn open(endpoints: &ZenohEndpoints) -> Result<Self, TransportError> {
        let config = config(endpoints).map_err(|error| TransportError(error.to_string()))?;
        let session = zenoh::open(config).await.map_err(failed)?;
        Ok(Self { session })
    }

    /// Leaves the mesh, right before the process ends. Zenoh does not wait for a handshake
    /// that is under way: such a peer stays linked to the closed session, receives nothing,
    /// and looks for no other link while this process lives.
    pub async fn close(&self) {
        if tokio::time::timeout(CLOSE_TIMEOUT, self.session.close())
            .await
            .is_err()
        {
            tracing::debug!("the mesh did not close in time");
        }
    }
}

fn failed(error: zenoh::Error) -> TransportError {
    TransportError(error.to_string())
}

fn config(endpoints: &ZenohEndpoints) -> Result<zenoh::Config, zenoh::Error> {
    let mut config = zenoh::Config::default();
    let mut set =
        |key: &str, value: serde_json::Value| config.insert_json5(key, &value.to_string());
    set("mode", "peer".into())?;
    set("listen/endpoints", endpoints.listen.clone().into())?;
    set("connect/endpoints", endpoints.connect.clone().into())?;
    set(
        "connect/retry",
        serde_json::json!({ "period_init_ms": 50, "period_max_ms": 1000, "period_increase_factor": 2 }),
    )?;
    set("scouting/multicast/enabled", false.into())?;
    set("scouting/gossip/enabled", false.into())?;
    // Scouting is off, so waiting for its results is useless.
    set("scouting/delay", 0.into())?;
    set(
        "transport/link/tx/lease",
        u64::try_from(LEASE.as_millis()).unwrap_or(3000).into(),
    )?;
    set("adminspace/enabled", false.into())?;
    if let Some(MutualTls { authority, certificate, private_key }) = &endpoints.tls {
        set(
            "transport/link/tls",
            serde_json::json!({
                "root_ca_certificate": authority,
                "listen_certificate": certificate,
                "listen_private_key": private_key,
                "connect_certificate": certificate,
                "connect_private_key": private_key,
                "enable_mtls": true,
                "close_link_on_expiration": true,
            }),
        )?;
    }
    Ok(config)
}

impl Transport for ZenohTransport {
    fn publish<'a>(
        &'a self,
        topic: &'a str,
        message: Vec<u8>,
    ) -> BoxFuture<'a, Result<(), TransportError>> {
        async move {
            self.session
                .put(topic, message)
                .congestion_control(CongestionControl::Drop)
                .await
                .map_err(failed)
        }
        .boxed()
    }

    fn subscribe<'a>(
        &'a self,
        topic: &'a str,
    ) -> BoxFuture<'a, Result<Subscription<Vec<u8>>, TransportError>> {
        async move {
            let (sender, messages) = flume::bounded(SUBSCRIPTION_MESSAGES_MAX);
            let receive = move |sample: Sample| {
                let _ = sender.try_send(sample.payload().to_bytes().into_owned());
            };
            let subscriber = self.session.declare_subscriber(topic).callback(receive);
            let guard: Guard = Box::new(subscriber.await.map_err(failed)?);
            Ok(Subscription { messages, guard })
        }
        .boxed()
    }

    fn ask<'a>(
        &'a self,
        topic: &'a str,
        question: Vec<u8>,
        timeout: Duration,
    ) -> BoxFuture<'a, Option<Vec<u8>>> {
        async move {
            let replies = self
                .session
                .get(topic)
                .payload(question)
                .timeout(timeout)
                .consolidation(ConsolidationMode::None)
                .await
                .ok()?;
            let reply = replies.recv_async().await.ok()?;
            let sample = reply.into_result().ok()?;
            Some(sample.payload().to_bytes().into_owned())
        }
        .boxed()
    }

    fn serve<'a>(
        &'a self,
        topic: &'a str,
    ) -> BoxFuture<'a, Result<Subscription<Question>, TransportError>> {
        async move {
            let (sender, messages) = flume::bounded(SUBSCRIPTION_MESSAGES_MAX);
            let receive = move |query: Query| {
                // A full queue drops the query, which ends it without a reply: the asker
                // takes the source for absent, and retries.
                let _ = sender.try_send(question(query));
            };
            let queryable = self.session.declare_queryable(topic).callback(receive);
            let guard: Guard = Box::new(queryable.await.map_err(failed)?);
            Ok(Subscription { messages, guard })
        }
        .boxed()
    }

    fn declare_alive<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Guard, TransportError>> {
        async move {
            let token = self.session.liveliness().declare_token(key).await;
            Ok(Box::new(token.map_err(failed)?) as Guard)
        }
        .boxed()
    }

    fn watch_alive<'a>(
        &'a self,
        prefix: &'a str,
        seen: Box<dyn Fn(Sighting) + Send + Sync>,
    ) -> BoxFuture<'a, Result<Guard, TransportError>> {
        async move {
            let receive = move |sample: Sample| {
                let key = sample.key_expr().as_str().to_owned();
                let state = match sample.kind() {
                    SampleKind::Put => Liveliness::Alive,
                    SampleKind::Delete => Liveliness::Gone,
                };
                seen(Sighting { key, state });
            };
            let subscriber = self
                .session
                .liveliness()
                .declare_subscriber(format!("{prefix}/**"))
                .history(true)
                .callback(receive);
            Ok(Box::new(subscriber.await.map_err(failed)?) as Guard)
        }
        .boxed()
    }

    fn lag(&self) -> Duration {
        LAG
    }
}

fn question(query: Query) -> Question {
    let body = query
        .payload()
        .map(|payload| payload.to_bytes().into_owned())
        .unwrap_or_default();
    let reply = Box::new(move |answer: Vec<u8>| {
        async move {
            let key = query.key_expr().clone();
            if let Err(error) = query.reply(key, answer).wait() {
                tracing::debug!(%error, "an answer could not be sent");
            }
        }
        .boxed()
    });
    Question { body, reply }
}
