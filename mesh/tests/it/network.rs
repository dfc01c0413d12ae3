//! The transports under fault injection: an unreliable in-process network, or two Zenoh
//! sessions on this host.

use std::path::Path;
use std::sync::Arc;

use mesh::{InProcessNetwork, LinkFaults, Mesh, Transport, ZenohEndpoints, ZenohTransport};
use tempfile::TempDir;

use crate::node::SOURCE;
use crate::{POLL_EVERY, soon};

/// A session on this host that listens as `name` and connects to `others`.
pub(crate) async fn session(folder: &Path, name: &str, others: &[&str]) -> Arc<ZenohTransport> {
    let endpoints =
        ZenohEndpoints::on_this_host(folder, Some(name), others).expect("a short folder");
    let session = soon("a session", ZenohTransport::open(&endpoints)).await;
    Arc::new(session.expect("the session opens"))
}

/// The transport of the shop's messages.
pub(crate) enum Network {
    Local {
        network: InProcessNetwork,
        faults: LinkFaults,
    },
    /// The followers share a session; the source has its own, which is closed with it.
    Zenoh {
        folder: TempDir,
        source: Option<Arc<ZenohTransport>>,
        followers: Arc<ZenohTransport>,
    },
}

impl Network {
    pub(crate) async fn zenoh() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let followers = session(folder.path(), "followers", &[SOURCE]).await;
        Self::Zenoh { folder, source: None, followers }
    }

    /// The mesh of the source, new at every start of the source.
    pub(crate) async fn of_source(&mut self) -> Mesh {
        let transport: Arc<dyn Transport> = match self {
            Self::Local { network, .. } => Arc::new(network.clone()),
            Self::Zenoh { folder, source, .. } => {
                let opened = session(folder.path(), SOURCE, &[]).await;
                *source = Some(opened.clone());
                opened
            }
        };
        Mesh::new(transport, "chaos")
    }

    /// Closes the source's session. The end of a process would close every link; here the
    /// process goes on, so no connection attempt may be pending.
    pub(crate) async fn source_ended(&mut self) {
        if let Self::Zenoh { source, followers, .. } = self
            && let Some(session) = source.take()
        {
            soon("the followers' way in", came_in(followers, &session)).await;
            session.close().await;
        }
    }

    pub(crate) fn of_followers(&self) -> Mesh {
        let transport: Arc<dyn Transport> = match self {
            Self::Local { network, .. } => Arc::new(network.clone()),
            Self::Zenoh { followers, .. } => followers.clone(),
        };
        Mesh::new(transport, "chaos")
    }

    /// Turns the link faults on or off; Zenoh sessions have none.
    pub(crate) fn behave(&self, well: bool) {
        if let Self::Local { network, faults } = self {
            network.set_faults(if well { LinkFaults::default() } else { *faults });
        }
    }

    pub(crate) async fn end(self) {
        if let Self::Zenoh { followers, .. } = self {
            soon("the end of the session", followers.close()).await;
        }
    }
}

/// Waits until a message of `from` arrives at `at`: the sessions are connected.
async fn came_in(from: &ZenohTransport, at: &ZenohTransport) {
    const TOPIC: &str = "chaos/way-in";
    let heard = at.subscribe(TOPIC).await.expect("a subscription");
    while heard.messages.is_empty() {
        let knock = from.publish(TOPIC, Vec::new());
        knock.await.expect("a publication");
        tokio::time::sleep(POLL_EVERY).await;
    }
}
