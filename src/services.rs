//! Starts and stops the services of this process.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chassis::config::MeshConfig;
use chassis::run::Started;
use chassis::telemetry::process_collector;
use chassis::{Folder, ProcessContext, Supervision};
use mesh::{InProcessNetwork, Mesh, ZenohEndpoints, ZenohTransport};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::ShopConfig;
use crate::service_name::ServiceName;
use crate::systemd;

/// How often a service is polled until it is ready.
const READY_POLL: Duration = Duration::from_millis(5);

/// How long the services of a process serve while its gateway drains, so that its last
/// requests still get a response. Together with the drain of each service this stays within
/// the 10 s in which a process ends.
const GATEWAY_DRAIN_TIMEOUT: Duration = Duration::from_millis(1_500);

/// The label of a process's own metrics if it runs more than one service.
const ALL: &str = "all";

/// Services of this process, running.
pub(crate) struct Running {
    services: JoinSet<Result<(), chassis::Error>>,
    started: Vec<Started>,
    supervision: Supervision,
    stop: CancellationToken,
}

impl Running {
    /// Starts the services `names`, which run until `stop`; returns when all of them listen.
    pub(crate) async fn start(
        names: &[ServiceName],
        folder: &Folder,
        config: &ShopConfig,
        mesh: &Mesh,
        stop: CancellationToken,
    ) -> Result<Self, chassis::Error> {
        let process = ProcessContext::new(folder.clone(), config.common(), mesh.clone());
        let label = if let [name] = names { name.name() } else { ALL };
        process.collectors.add(process_collector(label));
        let mut running = Self {
            services: JoinSet::new(),
            started: Vec::new(),
            supervision: process.supervision.clone(),
            stop,
        };
        let mut waiting = Vec::new();
        let (closed, behind) = (CancellationToken::new(), CancellationToken::new());
        for &name in names {
            let (notify, listening) = oneshot::channel();
            let started = move |started: Started| {
                let _ = notify.send(started);
            };
            let process = process.clone();
            let is_gateway = name == ServiceName::Gateway;
            let stop = if is_gateway { &running.stop } else { &behind };
            let (open, stop) = (config.open(name), stop.clone());
            let closed = is_gateway.then(|| closed.clone().drop_guard());
            running.services.spawn(async move {
                let _closed = closed;
                chassis::run(name.name(), open, process, stop, started).await
            });
            waiting.push(listening);
        }
        let has_gateway = names.contains(&ServiceName::Gateway);
        let stop = running.stop.clone();
        tokio::spawn(async move {
            stop.cancelled().await;
            if has_gateway {
                let _ = tokio::time::timeout(GATEWAY_DRAIN_TIMEOUT, closed.cancelled()).await;
            }
            behind.cancel();
        });
        for listening in waiting {
            match listening.await {
                Ok(started) => running.started.push(started),
                // The service ended before it listened; its error has the reason.
                Err(_) => {
                    running.end().await?;
                    return Err(chassis::Error::Service(
                        "a service ended before it was ready".into(),
                    ));
                }
            }
        }
        Ok(running)
    }

    /// The address of the last service, which is the gateway if all of them run here.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.started.last().map(|one| one.address)
    }

    /// The interface to the supervisor of this process.
    pub(crate) fn supervision(&self) -> &Supervision {
        &self.supervision
    }

    /// Waits until every service is ready, or a stop is requested.
    pub(crate) async fn ready(&mut self) -> Result<(), chassis::Error> {
        while self
            .started
            .iter()
            .any(|one| !one.health.missing().is_empty())
        {
            if let Some(ended) = self.services.try_join_next() {
                return flatten(ended).and(self.end().await);
            }
            if self.stop.is_cancelled() {
                break;
            }
            tokio::time::sleep(READY_POLL).await;
        }
        Ok(())
    }

    /// Runs until a stop is requested or a service fails, then drains all services.
    pub(crate) async fn until_stopped(mut self) -> Result<(), chassis::Error> {
        let first = self.services.join_next().await.map_or(Ok(()), flatten);
        systemd::stopping();
        first.and(self.end().await)
    }

    /// Drains all services; returns the first failure.
    pub(crate) async fn end(&mut self) -> Result<(), chassis::Error> {
        self.stop.cancel();
        let mut outcome = Ok(());
        while let Some(ended) = self.services.join_next().await {
            outcome = outcome.and(flatten(ended));
        }
        outcome
    }
}

fn flatten(
    ended: Result<Result<(), chassis::Error>, tokio::task::JoinError>,
) -> Result<(), chassis::Error> {
    ended.unwrap_or_else(|panic| {
        Err(chassis::Error::Service(format!(
            "a service panicked: {panic}"
        )))
    })
}

/// The signals of a process that serves.
pub(crate) struct Signals {
    /// Cancelled by SIGINT and SIGTERM.
    pub(crate) stop: CancellationToken,
    /// SIGHUP, which reloads. It would end a process that does not handle it, so it is handled
    /// from the first moment on; one that comes early waits until the process serves.
    pub(crate) hangup: Signal,
}

/// Handles the signals, from the first moment on.
pub(crate) fn handle_signals() -> anyhow::Result<Signals> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let hangup = signal(SignalKind::hangup())?;
    let stop = CancellationToken::new();
    let requested = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        // First, whatever becomes of the line.
        requested.cancel();
        tracing::info!("stopping");
    });
    Ok(Signals { stop, hangup })
}

/// The mesh that this process has joined.
pub(crate) struct Joined {
    pub(crate) mesh: Mesh,
    zenoh: Option<Arc<ZenohTransport>>,
}

impl Joined {
    /// Leaves the mesh; the process does this last.
    pub(crate) async fn leave(self) {
        if let Some(zenoh) = self.zenoh {
            zenoh.close().await;
        }
    }
}

/// Joins the shop's mesh at the endpoints `here` and those of the settings for other hosts.
/// Without any endpoint the in-process network is used.
pub(crate) async fn join(
    here: ZenohEndpoints,
    config: &ShopConfig,
    folder: &Folder,
) -> Result<Joined, chassis::Error> {
    let MeshConfig { listen, connect, .. } = &config.mesh;
    let endpoints = here.and_beyond(listen, connect, config.mesh.mutual_tls())?;
    let shop = folder.shop();
    if endpoints.listen.is_empty() && endpoints.connect.is_empty() {
        let mesh = Mesh::new(Arc::new(InProcessNetwork::reliable()), shop);
        return Ok(Joined { mesh, zenoh: None });
    }
    let zenoh = Arc::new(ZenohTransport::open(&endpoints).await?);
    let mesh = Mesh::new(zenoh.clone(), shop);
    Ok(Joined { mesh, zenoh: Some(zenoh) })
}
