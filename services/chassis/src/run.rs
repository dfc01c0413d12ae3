//! The life of a service: recover, follow, listen, announce; then drain.
//!
//! The store has recovered before anything is read, the log is served before the service
//! is announced, and it is announced only once it listens. Draining goes backwards:
//! discovery first, so that no new requests arrive, then the requests in flight, then
//! followers and background tasks, then the store.

use std::fs::Permissions;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures::future::BoxFuture;
use mesh::{Follower, Instance, Log, Mesh, Presence, Source, StatePage};
use store::Store;
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::check::Checks;
use crate::health::Health;
use crate::in_process::{LocalServices, Registration};
use crate::limits::DRAIN_TIMEOUT;
use crate::status::{self, ServiceStatus, collector};
use crate::{
    Collectors, Config, Context, Error, Folder, OpenedService, ServiceRoutes, Supervision, Trust,
    expiry, idempotency, positions, snapshot,
};

/// A write to the disk that takes longer makes a service not ready. A memory card that
/// collects garbage takes up to a few seconds.
const DISK_STALL_MAX: Duration = Duration::from_secs(10);

/// Less free space on the disk than this, in bytes, is a warning: four times that at which
/// writes are refused, so that the operator has time to look.
const DISK_LOW_BYTES: u64 = 256 * 1024 * 1024;

/// The interval at which a store is probed whose disk failed to read.
const DISK_PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// A service's entry point, with its settings: declares what it follows and returns its
/// router.
pub type Open = Arc<dyn Fn(Context) -> Opening + Send + Sync>;

/// A service that is being opened.
pub type Opening = BoxFuture<'static, Result<OpenedService, Error>>;

/// The entry point of a service that is given `config` each time it is opened.
pub fn opener<C>(open: fn(Context, C) -> Opening, config: C) -> Open
where
    C: Clone + Send + Sync + 'static,
{
    Arc::new(move |context| open(context, config.clone()))
}

/// The address and readiness of a service that listens.
pub struct Started {
    /// The address of its HTTP listener.
    pub address: SocketAddr,
    /// The conditions of its readiness.
    pub health: Health,
}

/// The parts that all services of a process share. Cheap to clone.
#[derive(Clone)]
pub struct ProcessContext {
    /// The shop's data folder.
    pub folder: Folder,
    /// The settings that every service has.
    pub config: Arc<Config>,
    /// The shop's mesh.
    pub mesh: Mesh,
    /// The in-process transport.
    pub local: LocalServices,
    /// The figures that are computed when metrics are scraped.
    pub collectors: Collectors,
    /// The interface to the supervisor of the process.
    pub supervision: Supervision,
}

impl ProcessContext {
    /// A process of this shop, without services yet.
    pub fn new(folder: Folder, config: impl Into<Arc<Config>>, mesh: Mesh) -> Self {
        Self {
            folder,
            config: config.into(),
            mesh,
            local: LocalServices::default(),
            collectors: Collectors::default(),
            supervision: Supervision::default(),
        }
    }
}

/// Runs a service until `stop`, then drains it. `started` is called once it can be reached.
///
/// # Errors
/// When it cannot be opened, or its store fails while it runs.
pub async fn run(
    name: &'static str,
    open: Open,
    process: ProcessContext,
    stop: CancellationToken,
    started: impl FnOnce(Started) + Send,
) -> Result<(), Error> {
    let (mesh, local) = (process.mesh.clone(), process.local.clone());
    let context = prepare(name, process)
        .await
        .map_err(|error| error.of(name))?;
    // Background tasks end with this function, however it returns.
    let _end = context.stop.clone().drop_guard();
    let service = open(context).await.map_err(|error| error.of(name))?;
    let OpenedService { context, listener, server, near, control } = service;
    // The state of a service that sets no other: followers need nothing old of it.
    context.log.set_state(|_, _| Ok(StatePage::default()));
    let listener = match listener {
        Some(listener) => listener,
        None => bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?,
    };
    let address = listener
        .local_addr()
        .map_err(|error| Error::Service(error.to_string()))?;
    let draining = context.draining.clone();
    let serving = tokio::spawn(server(listener, draining.clone()));
    let control = control
        .unwrap_or_default()
        .merge(context.checks.router())
        .merge(positions::router(context.status.clone()))
        .merge(status::control::router(&context))
        .merge(snapshot::router(&context));
    let socket = context.folder.control_socket(name);
    let control_listener = control_listener(&socket)?;
    let (trust, health, probes) = (
        context.trust.clone(),
        context.health.clone(),
        context.probes(),
    );
    // Imports and consistency checks come through here and may take minutes.
    let control = ServiceRoutes::untimed(control);
    let control = crate::http::wrap(name, control, trust, probes);
    context.tasks.spawn(serve_control(
        control_listener,
        control,
        context.stop.clone(),
    ));
    let instance = Instance::new(name, address);
    let near = near.map(|router| local.register(instance.id.clone(), router));
    let presence = Presence::declare(&mesh, &instance).await?;
    tracing::info!(service = name, %address, "listening");
    started(Started { address, health });

    let failure = tokio::select! {
        () = stop.cancelled() => None,
        error = context.store.failed() => Some(error),
    };
    drop(presence);
    if near.is_some() {
        // A gateway that has not seen the withdrawal yet still sends requests.
        tokio::time::sleep(mesh.transport().lag()).await;
    }
    drain(context, serving, near).await;
    failure.map_or(Ok(()), |error| Err(error.into()))
}

/// Listens at `address`.
///
/// # Errors
/// [`Error::Bind`] when it cannot.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address)
        .await
        .map_err(|why| Error::Bind { address, why })
}

/// Ends a service: requests in flight, then background tasks, then the store.
async fn drain(context: Context, serving: JoinHandle<()>, near: Option<Registration>) {
    let service = context.name;
    let deadline = Instant::now() + DRAIN_TIMEOUT;
    context.draining.cancel();
    context.supervision.clear();
    context.collectors.clear();
    let answered = async {
        let near = near.map(Registration::drain);
        futures::join!(serving, futures::future::OptionFuture::from(near))
    };
    if timeout_at(deadline, answered).await.is_err() {
        tracing::warn!(
            service,
            "requests were still in flight when the time to drain was over"
        );
    }
    context.stop.cancel();
    context.tasks.close();
    if timeout_at(deadline, context.tasks.wait()).await.is_err() {
        tracing::warn!(service, "background tasks did not end in time");
    }
    let store = context.store.clone();
    // The log holds a clone of the store, and the last clone closes it.
    drop(context);
    // Joining the writer thread waits for its last sync.
    let closing = tokio::task::spawn_blocking(move || store.close());
    if timeout_at(deadline, closing).await.is_err() {
        tracing::warn!(
            service,
            "the store did not close in time; it recovers when it is opened"
        );
    }
}

/// Opens the parts of every service and starts its background tasks.
async fn prepare(name: &'static str, process: ProcessContext) -> Result<Context, Error> {
    let ProcessContext { folder, config, mesh, local, collectors, supervision } = process;
    let data_dir = folder.data_dir(name)?;
    let options = store::Options {
        cache_bytes: config.store.cache_mib * 1024 * 1024,
        metrics: collector::writer_metrics(name),
        ..store::Options::default()
    };
    let path = data_dir.join("store");
    let store = tokio::task::spawn_blocking(move || Store::open(&path, &options))
        .await
        .map_err(|error| Error::Service(error.to_string()))??;
    let log = Log::open(store.clone(), name, model::now()).await?;
    let trust = Trust::open(&folder, &store)?;
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    Source::new(log.clone(), mesh.clone())
        .start(&tasks, stop.clone())
        .await?;
    let keys = expiry::run(
        store.clone(),
        "Idempotency-Keys",
        idempotency::delete_expired,
    );
    tasks.spawn(stop.clone().run_until_cancelled_owned(keys));
    trim(
        &log,
        &store,
        config.store.events_kept(),
        &tasks,
        stop.clone(),
    );
    let health = Health::default();
    watch_disk(&store, &health, &tasks, stop.clone());
    let writer = store.clone();
    supervision.add_part(format!("the writer of {name}"), move || {
        let writer = writer.clone();
        async move { writer.progress().await }
    });
    let status = ServiceStatus::new(name, log.clone(), health.clone(), &data_dir);
    let (collected, queue) = (status.clone(), store.clone());
    collectors.add(move || collector::collect(&collected, &queue));
    let checks = Checks::default();
    checks.add_store(store.clone());
    checks.add_log(log.clone());
    let followed = status.clone();
    checks.add_followers(move || followed.followings());
    let context = Context {
        name,
        folder,
        data_dir,
        store,
        log,
        mesh,
        local,
        trust,
        tasks,
        stop,
        draining: status.draining(),
        health,
        checks,
        status,
        collectors,
        config,
        supervision,
    };
    follow_trust(&context).await?;
    Ok(context)
}

/// Trims the log behind its followers, if it is known who they are.
fn trim(log: &Log, store: &Store, keep: Duration, tasks: &TaskTracker, stop: CancellationToken) {
    let Some(followers) = api::followers_of(log.source()) else {
        return;
    };
    let log = log.clone();
    let trimming = expiry::run(store.clone(), "events", move |tx, now| {
        log.trim(tx, followers, now.before(keep))
    });
    tasks.spawn(stop.run_until_cancelled_owned(trimming));
}

/// Makes a disk that fails, hangs or is nearly full a reason not to be ready. After a failed
/// read the store is probed with a write: if that fails too, the service ends.
fn watch_disk(store: &Store, health: &Health, tasks: &TaskTracker, stop: CancellationToken) {
    let seen = store.clone();
    health.add(move || {
        let stalled = seen.writing_for();
        if stalled >= DISK_STALL_MAX {
            let seconds = stalled.as_secs();
            return Some(format!(
                "the disk has not completed a write for {seconds} s"
            ));
        }
        if seen.read_failed() {
            return Some("the disk failed to read".to_owned());
        }
        let full = "the disk is nearly full: writes are refused, reads go on";
        matches!(seen.is_disk_full(), Ok(true)).then(|| full.to_owned())
    });
    let disk = store.clone();
    health.warn(move || {
        let free = disk.free_bytes().ok()?;
        let low = "the disk is filling up";
        (free < DISK_LOW_BYTES).then(|| format!("{low}: {} MiB are free", free / 1024 / 1024))
    });
    let store = store.clone();
    tasks.spawn(stop.run_until_cancelled_owned(async move {
        loop {
            tokio::time::sleep(DISK_PROBE_INTERVAL).await;
            if store.read_failed() {
                store.probe();
            }
        }
    }));
}

/// Follows signing keys and revocations, as every service does, without dead letters.
async fn follow_trust(context: &Context) -> Result<(), Error> {
    let trust = context.trust.clone();
    let apply = move |tx: &mut store::Tx<'_>, event: &mesh::Event| trust.apply(tx, event);
    let (store, mesh) = (context.store.clone(), context.mesh.clone());
    let follower = Follower {
        on_refusal: mesh::OnRefusal::Retry,
        ..Follower::new("trust", "users", store, mesh, apply)
    };
    context.trust.set_following(context.start(follower).await?);
    Ok(())
}

fn control_listener(socket: &Path) -> Result<UnixListener, Error> {
    let failed = |why: std::io::Error| Error::File { path: socket.to_owned(), why };
    // The store's lock says that no other process serves this socket.
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = UnixListener::bind(socket).map_err(failed)?;
    std::fs::set_permissions(socket, Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(listener)
}

async fn serve_control(listener: UnixListener, router: Router, stop: CancellationToken) {
    let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
    if let Err(error) = served.await {
        tracing::error!(%error, "the control socket ended");
    }
}
