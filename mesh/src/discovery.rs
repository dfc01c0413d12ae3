//! Discovery: which instances of services are alive, by liveliness tokens.
//!
//! A token's key is `konbini/<shop>/live/<service>/<instance>/<address>`; it ends with its
//! process. **Invariant:** discovery finds instances and decides nothing else, since a
//! pulled cable shows only after seconds.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use tokio::sync::watch;
use uuid::Uuid;

use crate::transport::{Guard, Liveliness, Mesh, Sighting, TransportError};

/// One running instance of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// The service's name.
    pub service: String,
    /// The instance's id; new at every start.
    pub id: String,
    /// The address of its HTTP server.
    pub address: SocketAddr,
}

impl Instance {
    /// A fresh instance of `service` at `address`.
    pub fn new(service: &str, address: SocketAddr) -> Self {
        let id = Uuid::now_v7().simple().to_string();
        Self { service: service.into(), id, address }
    }

    fn parse(key: &str, prefix: &str) -> Option<Self> {
        let mut parts = key.strip_prefix(prefix)?.strip_prefix('/')?.split('/');
        let (service, id, address) = (parts.next()?, parts.next()?, parts.next()?);
        let address = address.parse().ok()?;
        Some(Self { service: service.into(), id: id.into(), address })
    }
}

/// Keeps an instance visible until dropped.
pub struct Presence(#[expect(dead_code, reason = "held for its drop")] Guard);

impl Presence {
    /// Makes `instance` visible.
    ///
    /// # Errors
    /// When the transport refuses the token.
    pub async fn declare(mesh: &Mesh, instance: &Instance) -> Result<Self, TransportError> {
        let Instance { service, id, address } = instance;
        let key = format!("{}/{service}/{id}/{address}", mesh.live_prefix());
        mesh.transport().declare_alive(&key).await.map(Self)
    }
}

/// The live instances of a shop, by key.
pub struct Directory {
    instances: watch::Receiver<BTreeMap<String, Instance>>,
    #[expect(dead_code, reason = "held for its drop")]
    guard: Guard,
}

impl Directory {
    /// Watches the shop's instances.
    ///
    /// # Errors
    /// When the transport refuses the subscription.
    pub async fn watch(mesh: &Mesh) -> Result<Self, TransportError> {
        let prefix = mesh.live_prefix();
        let (sender, instances) = watch::channel(BTreeMap::new());
        let seen = {
            let prefix = prefix.clone();
            move |Sighting { key, state }: Sighting| {
                let Some(instance) = Instance::parse(&key, &prefix) else {
                    tracing::debug!(key, "not an instance's key");
                    return;
                };
                sender.send_modify(|all: &mut BTreeMap<String, Instance>| {
                    match state {
                        Liveliness::Alive => all.insert(key, instance),
                        Liveliness::Gone => all.remove(&key),
                    };
                });
            }
        };
        let guard = mesh
            .transport()
            .watch_alive(&prefix, Box::new(seen))
            .await?;
        Ok(Self { instances, guard })
    }

    /// The present instances; changes with each that starts or ends.
    pub fn changes(&self) -> watch::Receiver<BTreeMap<String, Instance>> {
        self.instances.clone()
    }
}
