//! `konbini-bench gateway`: the shop's gateway beside the proxies that people would
//! put there, all in front of the same trivial upstream.
//!
//! Client, proxy and upstream share the host, so a rate here is good for ratios
//! within a run. The endpoints are measured in interleaved rounds, and the median of the rounds
//! counts. The gateway is the real one: `konbini run`, with the upstream announced
//! on its mesh in the place of a service. Measured and reported without a verdict in the
//! exit code: a busy host shifts every figure.

mod load;
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
use crate::progress::PhaseProgress;
use crate::table::{self, ReportTable};

/// Before each measurement, for connections to open and caches to fill.
const WARM_UP: Duration = Duration::from_millis(300);

/// Compare the gateway with nginx and caddy, as far as they are installed.
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
    /// One request, as it is sent.
    request: Vec<u8>,
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
        request: load::request("/v1/products/one", None),
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
    let progress = PhaseProgress::count("taking rounds", steps);
    for _ in 0..args.rounds {
        for (endpoint, (many, alone)) in endpoints.iter().zip(&mut rounds) {
            many.push(endpoint.measure(args.connections, lasting).await?);
            alone.push(endpoint.measure(1, lasting).await?);
            progress.step();
        }
    }
    progress.finish();
    let figures: Vec<_> = endpoints
        .iter()
        .zip(&rounds)
        .map(|(endpoint, (many, alone))| Figures::of(endpoint.name, many, alone))
        .collect();
    table::print(args.json, &figures, || report(&figures, &args))?;
    Ok(ExitCode::SUCCESS)
}

impl Endpoint {
    async fn measure(&self, connections: u16, lasting: Duration) -> anyhow::Result<Round> {
        let measure = async |lasting| {
            load::run(self.address, self.request.clone(), connections, lasting)
                .await
                .with_context(|| format!("at the endpoint {:?}", self.name))
        };
        measure(WARM_UP).await?;
        let before = proxies::processor_time(&self.pids)?;
        let series = measure(lasting).await?;
        let spent = proxies::processor_time(&self.pids)?.saturating_sub(before);
        ensure!(series.count() > 0, "no request was answered in {lasting:?}");
        let micros = |lasting: Duration| lasting.as_nanos() as f64 / 1_000.0;
        Ok(Round {
            rate: series.rate(),
            p50_us: micros(series.quantile(0.50)),
            p99_us: micros(series.quantile(0.99)),
            cpu_us: micros(spent) / series.count() as f64,
        })
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
