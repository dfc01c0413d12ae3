//! `konbini-bench gateway`: the shop's gateway beside the proxies that people would
//! put there, all in front of the same trivial upstream.
//!
//! Client, proxy and upstream share the host, so a rate here is good for ratios
//! within a run. The endpoints are measured in interleaved rounds, and the median of the rounds
//! counts. The gateway is the real one: `konbini run`, with the upstream announced
//! on its mesh in the place of a service. Measured and reported without a verdict in the
//! exit code: a busy host shifts every figure.

mod proxies;
mod subject;
mod upstream;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::ValueEnum;
use serde::Serialize;

use self::proxies::ReferenceProxies;
use self::subject::{GatewaySubject, GatewayWork};
use crate::cost::Subject;
use crate::load::{
    Judgement, LoadOperation, LoadPlan, LoadRequest, LoadTarget, Requests, ResultOptions,
};
use crate::progress::PhaseProgress;
use crate::result::RunResult;
use crate::table::{self, ReportTable};

/// Before each measurement, for connections to open and caches to fill.
const WARM_UP: Duration = Duration::from_millis(300);

/// What is asked for where nothing may come from a cache.
const PRODUCT: &str = "/v1/products/one";

/// Compare the gateway with nginx, haproxy and caddy, as far as they are installed.
///
/// Starts everything itself, in a temporary folder and on free ports.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The konbini to measure; the one beside this program if not given.
    #[arg(long)]
    binary: Option<PathBuf>,

    /// Client connections of the main measurement.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    connections: u16,

    /// The number of rounds of each endpoint.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=99))]
    rounds: u8,

    /// The seconds of a round, at many connections and at one each.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,

    /// Only these endpoints; the upstream by itself is always measured.
    #[arg(long, value_enum)]
    only: Vec<EndpointName>,

    /// The answer's body, in bytes.
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    body_bytes: u32,

    #[command(flatten)]
    result: ResultOptions,

    /// Print the figures as JSON.
    #[arg(long)]
    json: bool,
}

/// What requests go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum EndpointName {
    /// Nothing: the upstream itself.
    None,
    /// nginx, its connections to the upstream kept alive.
    NginxKept,
    /// nginx with plain `proxy_pass`.
    NginxPlain,
    /// haproxy, its connections to the upstream kept alive.
    Haproxy,
    /// caddy's `reverse_proxy`.
    Caddy,
    /// The gateway, for a request without a token.
    Bare,
    /// The gateway with a token, limits and the access log.
    Full,
    /// The gateway, answering from its cache.
    Cached,
}

/// One of them, open.
struct Endpoint {
    name: EndpointName,
    address: SocketAddr,
    path: &'static str,
    token: Option<String>,
    /// Whose processor time is its.
    pids: Vec<u32>,
}

/// Medians over the rounds.
#[derive(Serialize)]
struct Figures {
    endpoint: EndpointName,
    rate: f64,
    p50_us: f64,
    p99_us: f64,
    /// Processor time of the proxy a request.
    cpu_us: f64,
    /// Over one connection.
    alone_p50_us: f64,
    alone_p99_us: f64,
}

/// One round of one endpoint.
struct Round {
    rate: f64,
    p50_us: f64,
    p99_us: f64,
    cpu_us: f64,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let is_wanted = |name| args.only.is_empty() || args.only.contains(&name);
    let upstream = upstream::start(args.body_bytes as usize)?;
    let mut endpoints = vec![Endpoint {
        name: EndpointName::None,
        address: upstream,
        path: PRODUCT,
        token: None,
        pids: Vec::new(),
    }];
    let proxies = ReferenceProxies::start(upstream).await?;
    endpoints.extend(proxies.endpoints());
    let bare = GatewaySubject::open(args.binary.clone(), upstream, GatewayWork::Bare).await?;
    endpoints.extend(bare.endpoints());
    let full = GatewaySubject::open(args.binary.clone(), upstream, GatewayWork::Full).await?;
    endpoints.extend(full.endpoints());
    endpoints.retain(|endpoint| endpoint.name == EndpointName::None || is_wanted(endpoint.name));

    let lasting = Duration::from_secs(args.seconds);
    let mut rounds: Vec<(Vec<Round>, Vec<Round>)> =
        endpoints.iter().map(|_| Default::default()).collect();
    let steps = u64::from(args.rounds) * endpoints.len() as u64;
    let mut results = Vec::new();
    let progress = PhaseProgress::count("taking rounds", steps);
    for _ in 0..args.rounds {
        for (endpoint, (many, alone)) in endpoints.iter().zip(&mut rounds) {
            let measured = endpoint
                .measure(args.connections, lasting, &mut results)
                .await?;
            many.push(measured);
            alone.push(endpoint.measure(1, lasting, &mut results).await?);
            progress.step();
        }
    }
    progress.finish();
    args.result.write(&results)?;
    let figures: Vec<_> = endpoints
        .iter()
        .zip(&rounds)
        .map(|(endpoint, (many, alone))| Figures::of(endpoint.name, many, alone))
        .collect();
    table::print(args.json, &figures, || report(&figures, &args))?;
    Ok(ExitCode::SUCCESS)
}

impl Endpoint {
    async fn measure(
        &self,
        connections: u16,
        lasting: Duration,
        results: &mut Vec<RunResult>,
    ) -> anyhow::Result<Round> {
        let plan = LoadPlan {
            warm_up: WARM_UP,
            measured: Some(lasting),
            subject: Subject::processes(&self.pids),
            ..LoadPlan::closed(LoadTarget::plain(self.address), connections.into())
        };
        let pages = EndpointPages {
            name: format!("{:?}", self.name),
            path: self.path,
            token: self.token.clone(),
        };
        let running = plan.run(pages).await;
        let (_, measured) = running.with_context(|| format!("at the endpoint {:?}", self.name))?;
        let load = &measured.loads[0];
        measured.ensure_expected(&format!("the endpoint {:?}", self.name))?;
        ensure!(
            load.operations > 0,
            "no request was answered in {lasting:?}"
        );
        let spent = measured.costs.iter().map(|cost| cost.processor_us);
        results.push(measured.result("gateway", None));
        Ok(Round {
            rate: load.rate(measured.lasting.as_secs_f64()),
            p50_us: load.service.p50_us,
            p99_us: load.service.p99_us,
            cpu_us: spent.sum::<u64>() as f64 / load.operations as f64,
        })
    }
}

/// The same page again and again.
struct EndpointPages {
    name: String,
    path: &'static str,
    token: Option<String>,
}

impl Requests for EndpointPages {
    fn kinds(&self) -> Vec<String> {
        vec![self.name.clone()]
    }

    fn next(&mut self, _worker: usize, request: &mut LoadRequest) -> Option<usize> {
        request.get(self.path);
        if let Some(token) = &self.token {
            request.bearer(token);
        }
        Some(0)
    }

    /// A proxy without such a site may answer 200 with an empty body.
    fn judge(&mut self, operation: &LoadOperation<'_>) -> Judgement {
        let response = operation.response.as_ref();
        Judgement::of(response.is_ok_and(|page| page.status == 200 && !page.body.is_empty()))
    }
}

impl Figures {
    fn of(endpoint: EndpointName, many: &[Round], alone: &[Round]) -> Self {
        Self {
            endpoint,
            rate: median(many, |turn| turn.rate),
            p50_us: median(many, |turn| turn.p50_us),
            p99_us: median(many, |turn| turn.p99_us),
            cpu_us: median(many, |turn| turn.cpu_us),
            alone_p50_us: median(alone, |turn| turn.p50_us),
            alone_p99_us: median(alone, |turn| turn.p99_us),
        }
    }
}

fn median(rounds: &[Round], figure: impl Fn(&Round) -> f64) -> f64 {
    let mut figures: Vec<f64> = rounds.iter().map(figure).collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn report(figures: &[Figures], args: &Args) -> ReportTable {
    let find = |name| figures.iter().find(|one| one.endpoint == name);
    let direct = find(EndpointName::None).map_or(0.0, |one| one.alone_p50_us);
    let mut table = ReportTable::default();
    table.section(&format!(
        "{} bytes, {} connections, then 1; medians of {} rounds of {} s",
        args.body_bytes, args.connections, args.rounds, args.seconds
    ));
    for one in figures {
        let name = format!("{:?}", one.endpoint);
        table.line(format_args!(
            "{name:<11}{:>8.0}/s  p50 {:>6.0} µs  p99 {:>6.0} µs  {:>5.1} µs processor time; \
             alone p50 {:>4.0} µs (+{:.0})  p99 {:>5.0} µs",
            one.rate,
            one.p50_us,
            one.p99_us,
            one.cpu_us,
            one.alone_p50_us,
            one.alone_p50_us - direct,
            one.alone_p99_us,
        ));
    }
    let Some(nginx) = find(EndpointName::NginxKept) else {
        table.line("nginx was not measured, so nothing is compared with it");
        return table;
    };
    table.section("Aims");
    for (name, share) in [
        (EndpointName::Bare, 0.7),
        (EndpointName::Full, 0.5),
        (EndpointName::Cached, 1.2),
    ] {
        let Some(one) = find(name) else { continue };
        let ratio = one.rate / nginx.rate;
        table.verdict(
            ratio >= share,
            &format!("{name:?}: {ratio:.2} of nginx's rate, at least {share}"),
        );
        let (p99, most) = (one.p99_us, nginx.p99_us);
        table.verdict(
            p99 <= most,
            &format!("{name:?}: p99 {p99:.0} µs, nginx's {most:.0}"),
        );
        let added = one.alone_p50_us - direct;
        table.verdict(
            added <= 60.0,
            &format!("{name:?}: {added:.0} µs added at one connection, at most 60"),
        );
        for (other, times) in [(EndpointName::NginxPlain, 1.0), (EndpointName::Caddy, 3.0)] {
            let Some(other) = find(other) else { continue };
            let ratio = one.rate / other.rate;
            table.verdict(
                ratio >= times,
                &format!(
                    "{name:?}: {ratio:.2} times {:?}'s rate, at least {times}",
                    other.endpoint
                ),
            );
        }
    }
    table
}
