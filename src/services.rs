//! The five services, and how each process's part of them is started and ended.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chassis::config::MeshConfig;
use chassis::run::Started;
use chassis::{Folder, ProcessContext};
use mesh::{InProcessNetwork, Mesh, ZenohEndpoints, ZenohTransport};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::ShopConfig;
use crate::service_name::ServiceName;

/// How often a service is polled until it is ready.
const READY_LOOK: Duration = Duration::from_millis(5);

/// How long the services of a process serve while its gateway drains, so that its last
/// requests are still answered. With the drain of each it stays within the 10 s in which a
/// process ends.
const GATEWAY_DRAIN_TIMEOUT: Duration = Duration::from_millis(1_500);

/// Services of this process, running.
pub(crate) struct Running {
    services: JoinSet<Result<(), chassis::Error>>,
    started: Vec<Started>,
    stop: CancellationToken,
}

impl Running {
    /// Starts `names`, to be ended by `stop`; returns when all of them can be
    /// reached.
    pub(crate) async fn start(
        names: &[ServiceName],
        folder: &Folder,
        config: &ShopConfig,
        mesh: &Mesh,
        stop: CancellationToken,
    ) -> Result<Self, chassis::Error> {
        let process = ProcessContext::new(folder.clone(), config.common(), mesh.clone());
        let mut running = Self { services: JoinSet::new(), started: Vec::new(), stop };
        let mut waiting = Vec::new();
        let (closed, behind) = (CancellationToken::new(), CancellationToken::new());
        for &name in names {
            let (heard, listening) = oneshot::channel();
            let started = move |started: Started| {
                let _ = heard.send(started);
            };
            let process = process.clone();
            let is_door = name == ServiceName::Gateway;
            let stop = if is_door { &running.stop } else { &behind };
            let (open, stop) = (config.open(name), stop.clone());
            let closed = is_door.then(|| closed.clone().drop_guard());
            running.services.spawn(async move {
                let _closed = closed;
                chassis::run(name.name(), open, process, stop, started).await
            });
            waiting.push(listening);
        }
        let has_door = names.contains(&ServiceName::Gateway);
        let stop = running.stop.clone();
        tokio::spawn(async move {
            stop.cancelled().await;
            if has_door {
                let _ = tokio::time::timeout(GATEWAY_DRAIN_TIMEOUT, closed.cancelled()).await;
            }
            behind.cancel();
        });
        for listening in waiting {
            match listening.await {
                Ok(started) => running.started.push(started),
                // It ended before it listened; its error says why.
                Err(_) => {
                    running.end().await?;
                    return Err(chassis::Error::Service(
                        "a service ended while it was opened".into(),
                    ));
                }
            }
        }
        Ok(running)
    }

    /// Where the last of them listens: with all of them, the gateway.
    pub(crate) fn door(&self) -> Option<SocketAddr> {
        self.started.last().map(|one| one.address)
    }

    /// Returns when nothing is missing or it is time to stop.
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
            tokio::time::sleep(READY_LOOK).await;
        }
        Ok(())
    }

    /// Runs until told to stop or until one of them fails, then drains all.
    pub(crate) async fn until_stopped(mut self) -> Result<(), chassis::Error> {
        let first = self.services.join_next().await.map_or(Ok(()), flatten);
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        first.and(self.end().await)
    }

    /// Drains everything; the first failure wins.
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

/// A token that SIGINT or SIGTERM cancels, from the first moment on.
pub(crate) fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let told = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("ending");
        told.cancel();
    });
    Ok(stop)
}

/// A process's part in the shop's mesh.
pub(crate) struct Joined {
    pub(crate) mesh: Mesh,
    zenoh: Option<Arc<ZenohTransport>>,
}

impl Joined {
    /// Leaves it, as the last thing that the process does.
    pub(crate) async fn leave(self) {
        if let Some(zenoh) = self.zenoh {
            zenoh.close().await;
        }
    }
}

/// Joins the shop's mesh by `here` and whatever the settings add beyond this host.
/// Where that is nothing, all there is to hear is in this process.
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
