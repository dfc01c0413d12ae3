//! The load of orders: every client places one after the other until stopped, and only
//! orders that begin and end in the measured time count.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use rand::RngExt;

use crate::http1::Http1Connection;
use crate::process::Process;
use crate::series::Series;

/// Who orders what, and where.
pub(super) struct OrderLoad {
    pub(super) address: SocketAddr,
    /// One for each client.
    pub(super) tokens: Vec<String>,
    pub(super) products: Vec<String>,
}

/// What came of it.
pub(super) struct Measured {
    /// Latencies of the orders answered 201.
    pub(super) confirmed: Series,
    /// Answers by status, or the connection's error.
    pub(super) answers: BTreeMap<String, u64>,
    /// Processor time of the shop and of this process meanwhile.
    pub(super) shop: Option<Duration>,
    pub(super) client: Option<Duration>,
}

impl OrderLoad {
    /// Orders through `warm_up` and through the `measured` time after it.
    pub(super) fn run(
        self,
        shop: Vec<Process>,
        warm_up: Duration,
        measured: Duration,
    ) -> anyhow::Result<Measured> {
        let (measuring, stop) = (AtomicBool::new(false), AtomicBool::new(false));
        let run: u32 = rand::random();
        std::thread::scope(|scope| {
            let clients: Vec<_> = self
                .tokens
                .iter()
                .enumerate()
                .map(|(number, token)| {
                    let buyer = Buyer { load: &self, token, name: format!("{run:08x}-{number}") };
                    let (measuring, stop) = (&measuring, &stop);
                    scope.spawn(move || buyer.order(measuring, stop))
                })
                .collect();
            std::thread::sleep(warm_up);
            let before = (used(&shop), Process::own().used());
            let begun = Instant::now();
            measuring.store(true, Ordering::Relaxed);
            std::thread::sleep(measured);
            measuring.store(false, Ordering::Relaxed);
            let elapsed = begun.elapsed();
            let after = (used(&shop), Process::own().used());
            stop.store(true, Ordering::Relaxed);

            let mut confirmed = Series::new()?;
            let mut answers = BTreeMap::new();
            for client in clients {
                let bought = client
                    .join()
                    .map_err(|_| anyhow::anyhow!("a client panicked"))?;
                let (series, counts) = bought?;
                confirmed.add(&series);
                for (answer, count) in counts {
                    *answers.entry(answer).or_default() += count;
                }
            }
            confirmed.add_elapsed(elapsed);
            Ok(Measured {
                confirmed,
                answers,
                shop: after.0.zip(before.0).map(|(after, before)| after - before),
                client: after.1.zip(before.1).map(|(after, before)| after - before),
            })
        })
    }
}

fn used(shop: &[Process]) -> Option<Duration> {
    shop.iter().map(|process| process.used()).sum()
}

/// One client.
struct Buyer<'a> {
    load: &'a OrderLoad,
    token: &'a str,
    /// Makes its keys its own.
    name: String,
}

type Bought = (Series, BTreeMap<String, u64>);

impl Buyer<'_> {
    fn order(self, measuring: &AtomicBool, stop: &AtomicBool) -> anyhow::Result<Bought> {
        let mut wire =
            Http1Connection::connect(self.load.address).context("cannot connect to the shop")?;
        let (mut series, mut answers) = (Series::new()?, BTreeMap::new());
        let (mut rng, mut request) = (rand::rng(), String::new());
        for number in 0u64.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let product = rng.random_range(0..self.load.products.len());
            self.write(&mut request, number, &self.load.products[product]);
            let counts = measuring.load(Ordering::Relaxed);
            let start = Instant::now();
            let answer = wire.call(request.as_bytes());
            let counts = counts && measuring.load(Ordering::Relaxed);
            let answer = match answer {
                Ok(201) if counts => {
                    series.record(start);
                    "201".to_owned()
                }
                Ok(201) => continue,
                Ok(status) => status.to_string(),
                Err(error) => {
                    wire = Http1Connection::connect(self.load.address)?;
                    error.to_string()
                }
            };
            *answers.entry(answer).or_default() += 1;
        }
        Ok((series, answers))
    }

    fn write(&self, request: &mut String, number: u64, product: &str) {
        let body = format!(r#"{{"items":[{{"product_id":"{product}","quantity":1}}]}}"#);
        request.clear();
        write!(
            request,
            "POST /v1/orders HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\nidempotency-key: {}-{number}\r\n\
             content-length: {}\r\n\r\n{body}",
            self.load.address,
            self.token,
            self.name,
            body.len(),
        )
        .expect("writing to a String does not fail");
    }
}
