//! The five services, and how each process's part of them is started and ended.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chassis::run::Started;
use chassis::{Config, Folder, Open};
use clap::ValueEnum;
use mesh::Mesh;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A service of the shop. Each one's process connects to those before it, so that
/// every pair of processes has exactly one link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ServiceName {
    Users,
    Products,
    Orders,
    Notifications,
    Gateway,
}

impl ServiceName {
    pub(crate) const ALL: [Self; 5] = [
        Self::Users,
        Self::Products,
        Self::Orders,
        Self::Notifications,
        Self::Gateway,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Products => "products",
            Self::Orders => "orders",
            Self::Notifications => "notifications",
            Self::Gateway => "gateway",
        }
    }

    fn open(self) -> Open {
        match self {
            Self::Users => users::open,
            Self::Products => products::open,
            Self::Orders => orders::open,
            Self::Notifications => notifications::open,
            Self::Gateway => gateway::open,
        }
    }

    /// Those it connects to.
    pub(crate) fn before(self) -> Vec<&'static str> {
        Self::ALL
            .iter()
            .take_while(|other| **other != self)
            .map(|other| other.name())
            .collect()
    }
}

/// Services of this process, running.
pub(crate) struct Running {
    services: JoinSet<Result<(), chassis::Error>>,
    started: Vec<Started>,
    stop: CancellationToken,
}

impl Running {
    /// Starts `names`; returns when all of them can be reached.
    pub(crate) async fn start(
        names: &[ServiceName],
        folder: &Folder,
        config: Config,
        mesh: &Mesh,
    ) -> Result<Self, chassis::Error> {
        let config = Arc::new(config);
        let stop = CancellationToken::new();
        let mut running = Self { services: JoinSet::new(), started: Vec::new(), stop };
        let mut waiting = Vec::new();
        for &name in names {
            let (heard, listening) = oneshot::channel();
            let started = move |started: Started| {
                let _ = heard.send(started);
            };
            let (folder, config, mesh) = (folder.clone(), config.clone(), mesh.clone());
            let stop = running.stop.clone();
            running.services.spawn(async move {
                chassis::run(
                    name.name(),
                    name.open(),
                    folder,
                    config,
                    mesh,
                    stop,
                    started,
                )
                .await
            });
            waiting.push(listening);
        }
        for listening in waiting {
            match listening.await {
                Ok(started) => running.started.push(started),
                // It ended before it listened; its error says why.
                Err(_) => {
                    running.stop().await?;
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

    /// Returns when nothing is missing, or one of them has ended.
    pub(crate) async fn ready(&mut self) {
        while self
            .started
            .iter()
            .any(|one| !one.health.missing().is_empty())
            && !self.ended()
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn ended(&self) -> bool {
        self.services.len() < self.started.len()
    }

    /// Runs until a signal or until one of them fails, then ends all.
    pub(crate) async fn until_told(mut self) -> Result<(), chassis::Error> {
        let told = tokio::select! {
            told = signalled() => told.map_err(|error| chassis::Error::Service(error.to_string())),
            ended = self.services.join_next() => flatten(ended),
        };
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        told.and(self.stop().await)
    }

    /// Drains everything; the first failure wins.
    pub(crate) async fn stop(&mut self) -> Result<(), chassis::Error> {
        self.stop.cancel();
        let mut outcome = Ok(());
        while let Some(ended) = self.services.join_next().await {
            outcome = outcome.and(flatten(Some(ended)));
        }
        outcome
    }
}

fn flatten(
    ended: Option<Result<Result<(), chassis::Error>, tokio::task::JoinError>>,
) -> Result<(), chassis::Error> {
    match ended {
        None => Ok(()),
        Some(Ok(outcome)) => outcome,
        Some(Err(panic)) => Err(chassis::Error::Service(format!(
            "a service panicked: {panic}"
        ))),
    }
}

/// Returns at SIGINT or SIGTERM.
async fn signalled() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("ending");
    Ok(())
}
