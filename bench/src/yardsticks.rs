//! `konbini-bench yardsticks`: what the shop is built on, and what people run in its place,
//! measured in the same run as the shop's own operations.
//!
//! Each row is a closed loop over 1 connection and over many. A row says what it does, since
//! none does all that an order does. Programs that are not installed are named on standard
//! error and left out.
//!
//! **Invariant:** what other programs keep lies on the same disk as the shop's data, and a row
//! says what is synced.

mod databases;
mod messages;
mod peer;
mod shop;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::Context;
use clap::ValueEnum;
use serde::Serialize;

use self::messages::MessageProtocol;
use self::peer::Peer;
use crate::cost::Subject;
use crate::daemon::{Daemon, free_address};
use crate::generator;
use crate::load::{Judgement, LoadOperation, LoadPlan, LoadRequest, LoadTarget, Requests};
use crate::progress::PhaseProgress;
use crate::result::RunResult;
use crate::series::Series;
use crate::table::{self, ReportTable};

const WARM_UP: Duration = Duration::from_millis(300);
/// Of a message and a row: about as many as an order of one line has.
const PAYLOAD_BYTES: usize = 300;
/// What every answer of a plain HTTP server has.
const BODY: &str = "hello";

/// Measure what the shop is built on, and what people run in its place, beside the shop.
///
/// Starts everything itself, in temporary folders and on free ports: a shop with the demo
/// catalogue, and those of nginx, Redis, NATS, RabbitMQ, PostgreSQL, SQLite (by Python) and,
/// with --peer, of other shops that are installed.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The konbini to measure; the one beside this program if not given.
    #[arg(long)]
    binary: Option<PathBuf>,

    /// Only these.
    #[arg(long, value_enum)]
    only: Vec<Yardstick>,

    /// Another shop to measure beside this one.
    #[arg(long, value_enum)]
    peer: Vec<Peer>,

    /// The connections of the second measurement of each.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(2..=1024))]
    connections: u16,

    /// How long each measurement lasts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,

    /// Print the figures as JSON.
    #[arg(long)]
    json: bool,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Yardstick {
    /// The shop: orders, a cached page, searches.
    Shop,
    /// A page appended to a file and synced.
    Append,
    /// A hyper server in this process.
    Hello,
    /// nginx, answering by itself.
    Nginx,
    /// Redis, its log synced with each write.
    Redis,
    /// NATS, which keeps nothing.
    Nats,
    /// RabbitMQ with a durable queue, by STOMP.
    Rabbitmq,
    /// PostgreSQL, by pgbench.
    Postgres,
    /// SQLite's full-text search, by Python.
    Sqlite,
}

/// One line of the table.
#[derive(Debug, Serialize)]
struct YardstickRow {
    program: &'static str,
    /// What one operation is.
    operation: &'static str,
    connections: u16,
    rate: f64,
    p50_us: f64,
    p99_us: f64,
    /// Processor time of the program for one operation; absent where it shares this process,
    /// or ends with its connection.
    processor_us: Option<f64>,
}

/// How each is measured.
struct Measurement<'a> {
    args: &'a Args,
    lasting: Duration,
    /// For data and settings of one program.
    folder: PathBuf,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let wanted = Yardstick::value_variants().iter();
    let wanted = wanted.filter(|one| args.only.is_empty() || args.only.contains(one));
    let wanted: Vec<Yardstick> = wanted.copied().collect();
    let folder = tempfile::Builder::new().prefix("yardsticks").tempdir()?;
    let progress = PhaseProgress::count("measuring", (wanted.len() + args.peer.len()) as u64);
    let mut rows = Vec::new();
    let measurement = |name: String| -> anyhow::Result<Measurement> {
        let folder = folder.path().join(name);
        std::fs::create_dir(&folder)?;
        let lasting = Duration::from_secs(args.seconds);
        Ok(Measurement { args: &args, lasting, folder })
    };
    for yardstick in wanted {
        let measured = measurement(format!("{yardstick:?}"))?.of(yardstick).await;
        rows.extend(measured.with_context(|| format!("measuring {yardstick:?}"))?);
        progress.step();
    }
    for peer in &args.peer {
        let measured = peer.measure(&measurement(format!("{peer:?}"))?).await;
        rows.extend(measured.with_context(|| format!("measuring {peer:?}"))?);
        progress.step();
    }
    progress.finish();
    table::print(args.json, &rows, || report(&rows))?;
    Ok(ExitCode::SUCCESS)
}

impl Measurement<'_> {
    /// The numbers of connections, one after the other.
    fn connections(&self) -> [u16; 2] {
        [1, self.args.connections]
    }

    async fn of(&self, yardstick: Yardstick) -> anyhow::Result<Vec<YardstickRow>> {
        match yardstick {
            Yardstick::Shop => shop::measure(self).await,
            Yardstick::Append => self.append().await,
            Yardstick::Hello => {
                let server = generator::serve()?;
                self.http("hyper", "hello by hyper, on one thread", server, &[])
                    .await
            }
            Yardstick::Nginx => self.nginx().await,
            Yardstick::Redis => self.messages(MessageProtocol::Redis).await,
            Yardstick::Nats => self.messages(MessageProtocol::Nats).await,
            Yardstick::Rabbitmq => self.messages(MessageProtocol::Stomp).await,
            Yardstick::Postgres => databases::postgres(self).await,
            Yardstick::Sqlite => databases::sqlite(self).await,
        }
    }

    async fn append(&self) -> anyhow::Result<Vec<YardstickRow>> {
        let series = Series::new()?.with_raw_syncs(self.folder.clone()).await?;
        let operation = "4 KiB appended and fdatasync";
        Ok(vec![YardstickRow::of_series(
            "file", operation, 1, &series, None,
        )])
    }

    async fn nginx(&self) -> anyhow::Result<Vec<YardstickRow>> {
        let (address, path) = (free_address()?, self.folder.display());
        let settings = format!(
            "daemon off; pid {path}/pid; error_log stderr crit; events {{ worker_connections 2048; }}
http {{
  access_log off; keepalive_requests 1000000000;
  client_body_temp_path {path}/body; proxy_temp_path {path}/proxy; fastcgi_temp_path {path}/fastcgi;
  uwsgi_temp_path {path}/uwsgi; scgi_temp_path {path}/scgi;
  server {{ listen {address}; location / {{ return 200 \"{BODY}\"; }} }}
}}
"
        );
        let file = self.folder.join("nginx.conf");
        std::fs::write(&file, settings)?;
        let mut command = Command::new("nginx");
        command.arg("-p").arg(&self.folder).arg("-c").arg(&file);
        let Some(mut nginx) = Daemon::spawn("nginx", command)? else {
            return Ok(Vec::new());
        };
        nginx.listens(address).await?;
        self.http("nginx", "answer of nginx itself", address, &nginx.pids())
            .await
    }

    /// A server's first page, over one connection and over many.
    async fn http(
        &self,
        program: &'static str,
        operation: &'static str,
        address: SocketAddr,
        pids: &[u32],
    ) -> anyhow::Result<Vec<YardstickRow>> {
        let (mut rows, subject) = (Vec::new(), Subject::processes(pids));
        for connections in self.connections() {
            let plan = self.plan(address, &subject, connections);
            rows.push(
                YardstickRow::of_load(program, operation, plan, SameRequest::get("/")).await?,
            );
        }
        Ok(rows)
    }

    /// A closed loop.
    fn plan(&self, address: SocketAddr, subject: &Subject, connections: u16) -> LoadPlan {
        LoadPlan {
            warm_up: WARM_UP,
            measured: Some(self.lasting),
            subject: subject.clone(),
            ..LoadPlan::closed(LoadTarget::plain(address), connections.into())
        }
    }

    async fn messages(&self, protocol: MessageProtocol) -> anyhow::Result<Vec<YardstickRow>> {
        let address = free_address()?;
        let registry_port = free_address()?.port();
        let command = protocol.server(address, registry_port, &self.folder)?;
        let registry = protocol.registry(registry_port);
        let _registry = registry
            .map(|command| Daemon::spawn("epmd", command))
            .transpose()?;
        let Some(mut server) = Daemon::spawn(protocol.program(), command)? else {
            return Ok(Vec::new());
        };
        server.listens(address).await?;
        let mut rows = Vec::new();
        for connections in self.connections() {
            let before = server.used();
            let measured = messages::measure(protocol, address, connections, self.lasting);
            let series = measured.await?;
            let spent = before.zip(server.used());
            let processor_us = spent.map(|(before, after)| (after - before).as_secs_f64() * 1e6);
            rows.push(YardstickRow::of_series(
                protocol.program(),
                protocol.operation(),
                connections,
                &series,
                processor_us,
            ));
        }
        Ok(rows)
    }
}

impl YardstickRow {
    /// Requests of one kind.
    async fn of_load(
        program: &'static str,
        operation: &'static str,
        plan: LoadPlan,
        requests: impl Requests,
    ) -> anyhow::Result<Self> {
        let (_, measured) = plan.run(requests).await?;
        measured.ensure_expected(operation)?;
        Self::of_run(program, operation, &measured.result("yardsticks", None))
    }

    /// The first kind of operation of a run.
    fn of_run(
        program: &'static str,
        operation: &'static str,
        run: &RunResult,
    ) -> anyhow::Result<Self> {
        let load = run.loads.first().context("a run without operations")?;
        let spent: u64 = run.costs.iter().map(|cost| cost.processor_us).sum();
        // A cost is of all kinds of operations together.
        let operations = run.operations().max(1);
        Ok(Self {
            program,
            operation,
            connections: u16::try_from(load.connections)?,
            rate: load.rate(run.measured_seconds),
            p50_us: load.service.p50_us,
            p99_us: load.service.p99_us,
            processor_us: (spent > 0 && run.loads.len() == 1)
                .then(|| spent as f64 / operations as f64),
        })
    }

    fn of_series(
        program: &'static str,
        operation: &'static str,
        connections: u16,
        series: &Series,
        processor_us: Option<f64>,
    ) -> Self {
        let us = |share| series.quantile(share).as_secs_f64() * 1e6;
        Self {
            program,
            operation,
            connections,
            rate: series.rate(),
            p50_us: us(0.5),
            p99_us: us(0.99),
            processor_us: processor_us.map(|spent| spent / series.count().max(1) as f64),
        }
    }
}

fn report(rows: &[YardstickRow]) -> ReportTable {
    let mut table = ReportTable::default();
    table.section(&format!(
        "  {:<11}{:<44}{:>6}{:>12}{:>11}{:>11}{:>14}",
        "program", "operation", "at", "a second", "p50 µs", "p99 µs", "processor µs"
    ));
    for row in rows {
        let processor = row
            .processor_us
            .map_or_else(|| "–".to_owned(), |us| format!("{us:.1}"));
        let YardstickRow { program, operation, connections, rate, p50_us, p99_us, .. } = row;
        table.line(format_args!(
            "{program:<11}{operation:<44}{connections:>6}{rate:>12.0}{p50_us:>11.0}{p99_us:>11.0}{processor:>14}"
        ));
    }
    table
}

/// The same request again and again.
#[derive(Clone)]
struct SameRequest {
    path: String,
    /// Posted, if there is one.
    body: Option<String>,
}

impl SameRequest {
    fn get(path: &str) -> Self {
        Self { path: path.to_owned(), body: None }
    }
}

impl Requests for SameRequest {
    fn kinds(&self) -> Vec<String> {
        vec!["request".to_owned()]
    }

    fn next(&mut self, _worker: usize, request: &mut LoadRequest) -> Option<usize> {
        match &self.body {
            None => request.get(&self.path),
            Some(body) => request.post(&self.path, format_args!("{body}")),
        };
        Some(0)
    }

    fn judge(&mut self, operation: &LoadOperation<'_>) -> Judgement {
        let response = operation.response.as_ref();
        Judgement::of(response.is_ok_and(|answer| answer.status == 200))
    }
}
