//! `konbini-bench generator`: the load driver itself, against a hyper server that answers
//! `hello` in this process.
//!
//! What the driver can do bounds every figure it takes: its rate in a closed loop, and the
//! latency that it adds to operations by the clock; wrk and oha do the same beside it, where
//! they are installed. Reported without a verdict in the exit
//! code, since a busy host shifts both.
//!
//! **Invariant:** client and server have a thread each, as with any other server.

mod clients;

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde::Serialize;

use self::clients::{ClientFigures, ClientLoad};
use crate::load::{Arrivals, LoadPlan, LoadRequest, LoadTarget, Measured, Requests, ResultOptions};
use crate::result::Latency;
use crate::table::{self, ReportTable};

/// The aims on two cores.
const RATE_MIN: f64 = 60_000.0;
const ADDED_P99_US_MAX: f64 = 200.0;
const WARM_UP: Duration = Duration::from_secs(1);

/// Measure this program's own load driver against a server that does nothing.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Connections.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    connections: u16,

    /// Operations a second by the clock.
    #[arg(long, default_value_t = 5_000.0, value_parser = crate::load::rate)]
    rate: f64,

    /// How long to measure each.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,

    #[command(flatten)]
    result: ResultOptions,

    /// Print the figures as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct GeneratorReport {
    connections: u16,
    closed_rate: f64,
    closed_p99_us: f64,
    /// Of the client and the server together, for each operation.
    closed_processor_us: Option<f64>,
    rate: f64,
    response_p50_us: f64,
    response_p99_us: f64,
    /// From the intended start to the actual one: what the driver adds.
    added_p50_us: f64,
    added_p99_us: f64,
    missed_starts: u64,
    /// Other load drivers, in the same run.
    others: Vec<ClientFigures>,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let server = serve()?;
    let closed = LoadPlan {
        warm_up: WARM_UP,
        measured: Some(Duration::from_secs(args.seconds)),
        ..LoadPlan::closed(LoadTarget::plain(server), args.connections.into())
    };
    let by_the_clock = LoadPlan { arrivals: Arrivals::Poisson(args.rate), ..closed.clone() };
    let (_, closed) = closed.run(Hellos).await?;
    let (_, clocked) = by_the_clock.run(Hellos).await?;
    let others = ClientLoad {
        server,
        connections: args.connections,
        seconds: args.seconds,
        rate: args.rate,
    };
    let others = others.run_all().await?;
    let result = |measured: &Measured| measured.result("generator", None);
    args.result.write(&[result(&closed), result(&clocked)])?;
    let Latency { p50_us: added_p50_us, p99_us: added_p99_us, .. } = clocked.client.start_delay;
    let (closed_load, load) = (&closed.loads[0], &clocked.loads[0]);
    let each = |us: u64| us as f64 / closed_load.operations.max(1) as f64;
    let report = GeneratorReport {
        connections: args.connections,
        closed_rate: closed_load.rate(closed.lasting.as_secs_f64()),
        closed_p99_us: closed_load.service.p99_us,
        closed_processor_us: closed.client.processor_us.map(each),
        rate: args.rate,
        response_p50_us: load.response.p50_us,
        response_p99_us: load.response.p99_us,
        added_p50_us,
        added_p99_us,
        missed_starts: clocked.client.missed_starts,
        others,
    };
    table::print(args.json, &report, || report.table())?;
    Ok(ExitCode::SUCCESS)
}

impl GeneratorReport {
    fn table(&self) -> ReportTable {
        let mut table = ReportTable::default();
        table
            .section(&format!("Closed loop, {} connections", self.connections))
            .row("operations/s", format_args!("{:.0}", self.closed_rate))
            .row("p99 µs", format_args!("{:.0}", self.closed_p99_us));
        if let Some(us) = self.closed_processor_us {
            let us = format!("{us:.1}");
            table.row("processor time, client and server, µs", us);
        }
        table
            .section(&format!("By the clock, {} a second at random", self.rate))
            .row(
                "response p50 µs",
                format_args!("{:.0}", self.response_p50_us),
            )
            .row(
                "response p99 µs",
                format_args!("{:.0}", self.response_p99_us),
            )
            .row(
                "added by the driver, p50 µs",
                format_args!("{:.0}", self.added_p50_us),
            )
            .row(
                "added by the driver, p99 µs",
                format_args!("{:.0}", self.added_p99_us),
            )
            .count("starts with every connection busy", self.missed_starts);
        if !self.others.is_empty() {
            table.section("Other clients, against the same server");
        }
        for other in &self.others {
            let (client, text) = other.row();
            table.row(client, text);
        }
        let (rate, added) = (self.closed_rate, self.added_p99_us);
        let text = format!("{rate:.0} operations a second, at least {RATE_MIN}");
        table.section("Aims").verdict(rate >= RATE_MIN, &text);
        let text = format!("{added:.0} µs added at p99, at most {ADDED_P99_US_MAX}");
        table.verdict(added <= ADDED_P99_US_MAX, &text);
        table
    }
}

struct Hellos;

impl Requests for Hellos {
    fn kinds(&self) -> Vec<String> {
        vec!["hello".to_owned()]
    }

    fn next(&mut self, _worker: usize, request: &mut LoadRequest) -> Option<usize> {
        request.get("/");
        Some(0)
    }
}

/// Starts the server on a thread of its own; it ends with the process.
pub(crate) fn serve() -> anyhow::Result<SocketAddr> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let listener = {
        let _within = runtime.enter();
        tokio::net::TcpListener::from_std(listener)?
    };
    let thread = std::thread::Builder::new().name("hello".to_owned());
    let serving = thread.spawn(move || {
        runtime.block_on(async {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let hello = service_fn(|_: Request<Incoming>| async {
                    Ok::<_, Infallible>(Response::new("hello".to_owned()))
                });
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), hello);
                // The client closes its connections as it likes.
                tokio::spawn(async move { drop(connection.await) });
            }
        });
    });
    serving.context("cannot start the server's thread")?;
    Ok(address)
}
