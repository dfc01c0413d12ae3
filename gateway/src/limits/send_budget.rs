//! Send budget: bounds the bytes of responses that clients have not taken yet.
//!
//! A service hands over a response as a whole, so a client that does not read keeps all of it
//! in memory. `sending_mib` of memory are therefore divided:
//!
//! | share | of `sending_mib` | beyond it |
//! | --- | --- | --- |
//! | large responses of a connection | an eighth | wait for [`ROOM_TIMEOUT`], then 429 |
//! | large responses of an address | a quarter | the same |
//! | large responses of all clients | three quarters | 503 |
//! | small responses that wait for their client | a quarter | reset |
//!
//! A large response is charged before its service is asked, by the size that its route's
//! responses had lately, and by its own once that is known. A small one over HTTP/2 costs
//! nothing as long as its client takes it at once (`transfer`); over HTTP/1.1 a connection has
//! one. The shares of one connection and one address leave most of the budget to others, and
//! several addresses that fill more than half of it raise the pressure under which slow
//! clients are cut (`progress_timeout`).
//!
//! The address share does not hold for this host, nor the connection share for a trusted
//! proxy, whose connections carry many clients.
//!
//! **Invariant:** a charge is held until the last byte of its response was written or
//! dropped. Only safe requests are refused, because a write has happened when the size of
//! its response is known.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chassis::Problem;
use chassis::client_address::network;
use chassis::occupancy::{Occupancy, Place};
use http::StatusCode;
use http::header::RETRY_AFTER;
use metrics::{Counter, Gauge};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::client::Client;
use crate::routing::Target;

/// The largest small response, in bytes: the size of an HTTP/2 frame, which a client usually
/// takes at once.
pub(crate) const SMALL_BYTES: u64 = 16 * 1024;

/// How long a request waits for room in the shares of its connection and its address. A
/// client that reads makes room in less.
const ROOM_TIMEOUT: Duration = Duration::from_secs(5);

/// Requests of an address, and of all, that wait for room at a time, some 10 KiB each: a page
/// of one browser, and of a few.
const WAITERS_MAX: (usize, usize) = (32, 256);

/// Memory of a response's task and stream beside its bytes.
const TASK_BYTES: usize = 4 * 1024;

/// The part by which a route's expected size falls at a smaller response. It rises at once,
/// so that requests sent together wait for room instead of being refused afterwards.
const FALL_PART: u64 = 4;

/// The budget and its shares.
pub(crate) struct SendBudget {
    large: SendShare,
    small: SendShare,
    kib_per_connection: u32,
    kib_per_address: u32,
    addresses: Occupancy<u128, OnceLock<SendShare>>,
    waiters: Occupancy<u128>,
    /// The expected size of each route's responses, in bytes.
    expected: HashMap<&'static str, AtomicU64>,
    /// Locked while it is set, so that the last change is shown.
    sending: Mutex<Gauge>,
    refused: Counter,
    stalled: Counter,
}

/// A share of the budget, in KiB. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct SendShare {
    room: Arc<Semaphore>,
    kib_max: u32,
}

/// The memory that a response takes from its shares, until dropped.
pub(crate) struct SendCharge {
    budget: Arc<SendBudget>,
    parts: Vec<(SendShare, Option<OwnedSemaphorePermit>)>,
    _address: Option<Place<u128, OnceLock<SendShare>>>,
}

impl SendBudget {
    /// Divides so much memory.
    pub(crate) fn new(sending_mib: u32) -> Self {
        let kib = sending_mib * 1024;
        Self {
            large: SendShare::new(kib / 4 * 3),
            small: SendShare::new(kib / 4),
            kib_per_connection: kib / 8,
            kib_per_address: kib / 4,
            addresses: Occupancy::default(),
            waiters: Occupancy::default(),
            expected: Target::labels()
                .map(|route| (route, AtomicU64::new(0)))
                .collect(),
            sending: Mutex::new(
                metrics::gauge!("konbini_gateway_sending_bytes", "service" => "gateway"),
            ),
            refused: metrics::counter!("konbini_gateway_sending_refused_total", "service" => "gateway"),
            stalled: metrics::counter!("konbini_gateway_sending_stalled_total", "service" => "gateway"),
        }
    }

    /// The share of a new connection.
    pub(crate) fn connection_share(&self) -> SendShare {
        SendShare::new(self.kib_per_connection)
    }

    /// Whether more than half of a part is in use.
    pub(crate) fn is_scarce(&self) -> bool {
        self.large.is_scarce() || self.small.is_scarce()
    }

    /// Charges a safe request for the response that its route usually has, before its service
    /// is asked; `None` where that is small.
    ///
    /// # Errors
    /// 429 when the client does not read what it has requested, 503 when there is no room.
    pub(crate) async fn reserve(
        self: &Arc<Self>,
        client: &Client,
        connection: &SendShare,
        route: &str,
    ) -> Result<Option<SendCharge>, Problem> {
        let expected = self.expected.get(route);
        let expected = expected.map_or(0, |expected| expected.load(Ordering::Relaxed));
        if expected <= SMALL_BYTES {
            return Ok(None);
        }
        let mut charge = self.charge(client, connection);
        if !charge.fit_own(kib(expected)) {
            let (own_max, all_max) = WAITERS_MAX;
            let Ok(_waiter) = self.waiters.enter(network(client.ip), own_max, all_max) else {
                return Err(self.refuse(unread()));
            };
            let room = charge.wait_for(kib(expected));
            if tokio::time::timeout(ROOM_TIMEOUT, room).await.is_err() {
                return Err(self.refuse(unread()));
            }
        }
        // The size may turn out smaller, so only a budget without any room refuses.
        let (all, part) = charge.all();
        if !all.fit(part, kib(expected)) && all.room.available_permits() == 0 {
            return Err(self.refuse(Problem::busy()));
        }
        self.show();
        Ok(Some(charge))
    }

    /// Charges a response of a known size; `None` for a small one.
    ///
    /// # Errors
    /// Of a safe request: 429 when the client does not read what it has requested, 503 when
    /// there is no room.
    pub(crate) fn settle(
        self: &Arc<Self>,
        reserved: Option<SendCharge>,
        (client, connection): (&Client, &SendShare),
        response: &ResponseSize,
    ) -> Result<Option<Arc<SendCharge>>, Problem> {
        let ResponseSize { route, bytes, is_safe } = *response;
        // A small response where no large one was expected: the usual case, which costs nothing.
        if bytes <= SMALL_BYTES && reserved.is_none() {
            return Ok(None);
        }
        if is_safe && bytes > 0 {
            self.learn(route, bytes);
        }
        if bytes <= SMALL_BYTES {
            return Ok(None);
        }
        let mut charge = reserved.unwrap_or_else(|| self.charge(client, connection));
        let last = charge.parts.len() - 1;
        for (index, (share, part)) in charge.parts.iter_mut().enumerate() {
            if share.fit(part, kib(bytes)) {
                continue;
            }
            if !is_safe {
                // It is charged as a small one once it waits for its client.
                return Ok(None);
            }
            let why = if index == last { Problem::busy() } else { unread() };
            return Err(self.refuse(why));
        }
        self.show();
        Ok(Some(Arc::new(charge)))
    }

    /// Charges a small response, or a piece of a stream, that waits for its client; `None`
    /// when there is no room.
    pub(crate) fn charge_waiting(self: &Arc<Self>, bytes: usize) -> Option<SendCharge> {
        let mut part = None;
        let is_charged = self.small.fit(&mut part, kib((bytes + TASK_BYTES) as u64));
        self.show();
        is_charged.then(|| SendCharge {
            budget: self.clone(),
            parts: vec![(self.small.clone(), part)],
            _address: None,
        })
    }

    /// Counts a stream that was reset, or an HTTP/2 connection that was closed, because its
    /// client did not take the responses.
    pub(crate) fn stalled(&self) {
        self.stalled.increment(1);
    }

    /// A charge of nothing yet; all clients' share is the last.
    fn charge(self: &Arc<Self>, client: &Client, connection: &SendShare) -> SendCharge {
        let mut parts = Vec::with_capacity(3);
        if !client.is_proxied {
            parts.push((connection.clone(), None));
        }
        let address = (!client.is_local)
            .then(|| {
                self.addresses
                    .enter(network(client.ip), usize::MAX, usize::MAX)
                    .ok()
            })
            .flatten();
        if let Some(address) = &address {
            let share = || SendShare::new(self.kib_per_address);
            parts.push((address.with(|known| known.get_or_init(share).clone()), None));
        }
        parts.push((self.large.clone(), None));
        SendCharge { budget: self.clone(), parts, _address: address }
    }

    fn learn(&self, route: &str, bytes: u64) {
        let Some(expected) = self.expected.get(route) else {
            return;
        };
        let known = expected.load(Ordering::Relaxed);
        if known.max(bytes) > SMALL_BYTES {
            let fallen = known - known.saturating_sub(bytes) / FALL_PART;
            expected.store(bytes.max(fallen), Ordering::Relaxed);
        }
    }

    fn refuse(&self, why: Problem) -> Problem {
        self.refused.increment(1);
        why
    }

    fn show(&self) {
        let sending = self.sending.lock();
        sending.set((self.large.in_use() + self.small.in_use()) as f64 * 1024.0);
    }
}

/// The size of a response, and what it responds to.
pub(crate) struct ResponseSize {
    /// The label of its route.
    pub(crate) route: &'static str,
    /// Its bytes in memory.
    pub(crate) bytes: u64,
    /// Whether its request was safe, and may therefore be repeated.
    pub(crate) is_safe: bool,
}

impl SendShare {
    fn new(kib_max: u32) -> Self {
        Self { room: Arc::new(Semaphore::new(kib_max as usize)), kib_max }
    }

    fn in_use(&self) -> usize {
        self.kib_max as usize - self.room.available_permits().min(self.kib_max as usize)
    }

    fn is_scarce(&self) -> bool {
        self.in_use() > self.kib_max as usize / 2
    }

    /// Makes `part` so large, if there is room. A response that is larger than the share
    /// takes all of it.
    fn fit(&self, part: &mut Option<OwnedSemaphorePermit>, kib: u32) -> bool {
        let (wanted, held) = (kib.min(self.kib_max) as usize, held(part.as_ref()));
        if wanted < held {
            let rest = part.as_mut().and_then(|part| part.split(held - wanted));
            drop(rest);
            return true;
        }
        let more = u32::try_from(wanted - held).unwrap_or(u32::MAX);
        match self.room.clone().try_acquire_many_owned(more) {
            Ok(more) => {
                merge(part, more);
                true
            }
            Err(_) => false,
        }
    }
}

impl SendCharge {
    /// The shares of the connection and the address.
    fn own(&mut self) -> &mut [(SendShare, Option<OwnedSemaphorePermit>)] {
        let last = self.parts.len() - 1;
        &mut self.parts[..last]
    }

    /// Takes room in them, if there is any.
    fn fit_own(&mut self, kib: u32) -> bool {
        let mut own = self.own().iter_mut();
        own.all(|(share, part)| share.fit(part, kib))
    }

    /// Waits for room in them.
    async fn wait_for(&mut self, kib: u32) {
        for (share, part) in self.own() {
            let more = kib.min(share.kib_max) as usize - held(part.as_ref());
            let more = u32::try_from(more).unwrap_or(u32::MAX);
            // The semaphore is never closed.
            if let Ok(room) = share.room.clone().acquire_many_owned(more).await {
                merge(part, room);
            }
        }
    }

    fn all(&mut self) -> (SendShare, &mut Option<OwnedSemaphorePermit>) {
        let (share, part) = self
            .parts
            .last_mut()
            .expect("a charge has the share of all");
        (share.clone(), part)
    }
}

impl Drop for SendCharge {
    fn drop(&mut self) {
        self.parts.clear();
        self.budget.show();
    }
}

fn held(part: Option<&OwnedSemaphorePermit>) -> usize {
    part.map_or(0, OwnedSemaphorePermit::num_permits)
}

fn merge(part: &mut Option<OwnedSemaphorePermit>, more: OwnedSemaphorePermit) {
    match part {
        Some(part) => part.merge(more),
        None => *part = Some(more),
    }
}

fn kib(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX)
}

fn unread() -> Problem {
    Problem::new(
        StatusCode::TOO_MANY_REQUESTS,
        "too-many-unread",
        "Too many responses are unread",
        "this client has not read the responses to its earlier requests; read them, then try again",
    )
    .header(RETRY_AFTER, "1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Peer, TrustedProxies};
    use http::HeaderMap;

    const ROUTE: &str = "/v1/products/search";

    fn client(address: [u8; 4]) -> Client {
        let peer = Peer::new((address, 1).into());
        TrustedProxies::new(&[]).client(&peer, &HeaderMap::new())
    }

    const READ: ResponseSize = ResponseSize { route: ROUTE, bytes: 900 * 1024, is_safe: true };

    /// Charges a response of 900 KiB.
    fn charge(
        budget: &Arc<SendBudget>,
        address: u8,
        share: &SendShare,
    ) -> Result<Arc<SendCharge>, u16> {
        let client = client([192, 0, 2, address]);
        let charge = budget.settle(None, (&client, share), &READ);
        let charge = charge.map_err(|refused| refused.status().as_u16());
        charge.map(|charge| charge.expect("it is large"))
    }

    #[test]
    fn a_connection_an_address_and_all_have_their_shares() {
        let budget = Arc::new(SendBudget::new(8));
        let charge = |address, share: &SendShare| charge(&budget, address, share);
        let share = budget.connection_share();
        let mut held = vec![charge(1, &share).unwrap()];
        assert_eq!(charge(1, &share).err(), Some(429), "the connection's");
        let write = ResponseSize { is_safe: false, ..READ };
        let written = budget.settle(None, (&client([192, 0, 2, 1]), &share), &write);
        assert!(
            matches!(written, Ok(None)),
            "a write is never refused, and charged once it waits"
        );
        held.push(charge(1, &budget.connection_share()).unwrap());
        let refused = charge(1, &budget.connection_share());
        assert_eq!(refused.err(), Some(429), "the address's");
        assert!(!budget.is_scarce());
        for address in 2.. {
            match charge(address, &budget.connection_share()) {
                Ok(more) => held.push(more),
                Err(status) => {
                    assert_eq!((status, held.len()), (503, 6), "everybody's");
                    break;
                }
            }
        }
        assert!(budget.is_scarce());
        let waiting = || budget.charge_waiting(1024);
        assert!(waiting().is_some(), "small ones have their own");
        drop(held);
        assert_eq!(budget.large.in_use() + budget.small.in_use(), 0);
        assert_eq!(budget.addresses.total(), 0);
    }

    #[tokio::test]
    async fn a_request_waits_until_its_connection_has_room() {
        let budget = Arc::new(SendBudget::new(8));
        let (client, share) = (client([192, 0, 2, 1]), budget.connection_share());
        let reserved = budget.reserve(&client, &share, ROUTE).await.unwrap();
        assert!(reserved.is_none(), "nothing is known yet");
        let first = charge(&budget, 1, &share).unwrap();
        let mut second = std::pin::pin!(budget.reserve(&client, &share, ROUTE));
        let now = futures::FutureExt::now_or_never(second.as_mut());
        assert!(now.is_none(), "it waits");
        drop(first);
        assert!(second.await.unwrap().is_some());
    }
}
