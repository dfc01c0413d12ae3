//! Load shedding: refusal of requests when a service is overloaded.
//!
//! The count is of requests in flight at a service: from the arrival of the whole body, so
//! that slow clients do not count, to the head of the response. Requests accumulate when a
//! service is overloaded or hangs. They are not queued: a request beyond its share gets 503
//! at once, which guarantees that nothing was written. Shares grow with priority: anonymous
//! reads, reads with a token, writes, and orders, which may use the whole bound. Pages and
//! cached responses of the gateway itself are never refused.
//!
//! **Invariant:** each service has a bound of its own, so one that hangs takes nothing from
//! the others.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use chassis::Problem;
use http::Method;
use http::header::AUTHORIZATION;
use http::request::Parts;

use crate::routing::{Destination, SERVICES};

/// The requests in flight at each service.
pub(crate) struct Shed {
    in_flight_max: u32,
    working: Arc<[AtomicU32; SERVICES.len()]>,
}

/// A request's priority: its share of the bound, in eighths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Priority {
    PublicRead = 4,
    OwnRead = 5,
    Write = 7,
    Order = 8,
}

impl Priority {
    fn of(destination: Destination, parts: &Parts) -> Self {
        let is_read = parts.method.is_safe();
        match destination.route.path {
            path if path.starts_with("/v1/orders") && parts.method == Method::POST => Self::Order,
            "/v1/carts/{id}/complete" => Self::Order,
            _ if !is_read => Self::Write,
            _ if parts.headers.contains_key(AUTHORIZATION) => Self::OwnRead,
            _ => Self::PublicRead,
        }
    }
}

/// A request in flight, until dropped.
pub(crate) struct Flight(Arc<Work>);

/// Notifies a [`Flight`] that the whole body of its request has arrived.
#[derive(Debug)]
pub(crate) struct Arrival(Weak<Work>);

#[derive(Debug)]
struct Work {
    working: Arc<[AtomicU32; SERVICES.len()]>,
    service: usize,
    is_counted: AtomicBool,
}

impl Shed {
    /// Bounds the requests in flight at each service.
    pub(crate) fn new(in_flight_max: u32) -> Self {
        Self { in_flight_max, working: Arc::default() }
    }

    /// Admits a request to its service.
    ///
    /// # Errors
    /// 503 when requests of higher priority need the rest of the bound.
    pub(crate) fn enter(&self, destination: Destination, parts: &Parts) -> Result<Flight, Problem> {
        let service = SERVICES.iter().position(|one| *one == destination.service);
        let service = service.unwrap_or_default();
        let share = self.in_flight_max / 8 * Priority::of(destination, parts) as u32;
        if self.working[service].load(Ordering::Relaxed) >= share {
            let route = destination.route.path;
            metrics::counter!("konbini_gateway_shed_total", "service" => "gateway", "route" => route)
                .increment(1);
            return Err(Problem::busy());
        }
        Ok(Flight(Arc::new(Work {
            working: self.working.clone(),
            service,
            is_counted: AtomicBool::new(false),
        })))
    }
}

impl Flight {
    /// The handle to notify when the request's body has arrived.
    pub(crate) fn arrival(&self) -> Arrival {
        Arrival(Arc::downgrade(&self.0))
    }
}

impl Arrival {
    /// Starts to count the request as work of its service.
    pub(crate) fn notify(&self) {
        if let Some(work) = self.0.upgrade()
            && !work.is_counted.swap(true, Ordering::Relaxed)
        {
            work.working[work.service].fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if *self.is_counted.get_mut() {
            self.working[self.service].fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::Target;
    use http::Request;

    fn try_enter(shed: &Shed, method: &str, path: &str, has_token: bool) -> Option<Flight> {
        let mut request = Request::builder().method(method).uri(path);
        if has_token {
            request = request.header(AUTHORIZATION, "Bearer x");
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let Target::Service(destination) = Target::of(&parts.method, &parts.uri) else {
            panic!("{path} is no service's");
        };
        shed.enter(destination, &parts).ok()
    }

    #[test]
    fn requests_of_lower_priority_are_shed_first() {
        let shed = Shed::new(8);
        let arrive = |flight: Flight| {
            flight.arrival().notify();
            flight.arrival().notify();
            flight
        };
        let order = || try_enter(&shed, "POST", "/v1/orders", true);
        let mut flights: Vec<_> = (0..4).map(|_| arrive(order().unwrap())).collect();
        // Not counted: a request of another service, and one whose body is still arriving.
        let others = (
            try_enter(&shed, "GET", "/v1/products", false).unwrap(),
            order().unwrap(),
        );
        let read = |has_token| try_enter(&shed, "GET", "/v1/orders", has_token);
        let write = || try_enter(&shed, "POST", "/v1/payments/webhook", false);
        assert!(read(false).is_none());
        flights.push(arrive(read(true).unwrap()));
        assert!(read(true).is_none());
        flights.push(arrive(write().unwrap()));
        flights.push(arrive(write().unwrap()));
        assert!(write().is_none());
        flights.push(arrive(order().unwrap()));
        assert!(order().is_none());
        drop((flights, others));
        assert!(read(false).is_some());
        let mut working = shed.working.iter();
        assert!(working.all(|one| one.load(Ordering::Relaxed) == 0));
    }
}
