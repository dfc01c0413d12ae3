//! The messages between this process and systemd (sd_notify(3)): ready, reloading, stopping,
//! and the heartbeat of the watchdog. Without systemd nothing is sent.

use std::time::Duration;

use chassis::Supervision;
use sd_notify::NotifyState;
use tokio::signal::unix::Signal;
use tokio_util::task::AbortOnDropHandle;

/// Heartbeats in one interval of the watchdog. One that is late, because a disk stalls for
/// seconds, must not end the process.
const HEARTBEATS: u32 = 4;

/// How much more time to start is asked for at once.
const EXTENSION: Duration = Duration::from_secs(60);

/// Says that the process serves; from then on heartbeats are sent, and SIGHUP reloads.
pub(crate) fn ready(supervision: &Supervision, hangup: Signal) {
    send(&[NotifyState::Ready]);
    tokio::spawn(reload_on(hangup, supervision.clone()));
    if let Some(interval) = sd_notify::watchdog_enabled() {
        tokio::spawn(heartbeat(supervision.clone(), interval / HEARTBEATS));
    }
}

/// Asks for more time to start, until it is dropped: a large shop is backed up before an
/// upgrade.
pub(crate) fn still_starting() -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async {
        loop {
            let more = EXTENSION.as_micros().try_into().unwrap_or(u32::MAX);
            send(&[NotifyState::ExtendTimeoutUsec(more)]);
            tokio::time::sleep(EXTENSION / 2).await;
        }
    }))
}

/// Says that the process drains and ends.
pub(crate) fn stopping() {
    send(&[NotifyState::Stopping]);
}

async fn heartbeat(supervision: Supervision, interval: Duration) {
    let beat = || send(&[NotifyState::Watchdog]);
    supervision.heartbeat(interval, beat).await;
}

/// Reloads at each SIGHUP. systemd takes a reload (`Type=notify-reload`) for begun when the
/// first message has the time, and for done at the second.
async fn reload_on(mut hangup: Signal, supervision: Supervision) {
    while hangup.recv().await.is_some() {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => send(&[NotifyState::Reloading, now]),
            Err(error) => tracing::warn!(%error, "systemd is not notified of the reload"),
        }
        supervision.reload();
        tracing::info!(
            "reloaded: certificates were read again; other settings are read at the start"
        );
        send(&[NotifyState::Ready]);
    }
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd could not be notified");
    }
}
