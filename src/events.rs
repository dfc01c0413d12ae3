//! `konbini events tail`: the events of all services as they happen.
//!
//! The log of each service is followed over its control socket, where only durable events are
//! seen; events have ids and no personal data. **Invariant:** a service that restarts is
//! followed on from its last event that was shown, so none is missing or shown twice.

use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, bail};
use chassis::Folder;
use clap::Args;
use clap::builder::PossibleValuesParser;
use futures::future::join_all;
use http_body_util::BodyExt;
use hyper::Method;
use model::{Fact, Time};
use serde_json::Value;
use tokio::io::Interest;
use tokio::net::unix::pipe;
use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::control;
use crate::output;
use crate::service_name::ServiceName;
use crate::shop::{ShopArgs, UsageError};
use crate::table::{Column, OutputFormat, OutputTable};

/// The pause before a service that ended is asked again; doubled up to the longest.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// The events that wait for a slow terminal. The services keep what comes after.
const WAITING_MAX: usize = 256;

/// The most events that `-n` shows, as many as a service lists at once.
const LAST_MAX: u64 = 1_000;

const COLUMNS: &[Column] = &[("TIME", 24), ("KIND", 18), ("EVENT", 31), ("DATA", 0)];

/// Print the events of all services as they happen, from now on.
///
/// Needs a running shop on this host, and waits for services that restart; Ctrl-C ends it. Events have ids and figures, and no personal data.
#[derive(Debug, Args)]
pub(crate) struct TailEvents {
    #[command(flatten)]
    shop: ShopArgs,
    /// Print only events of this kind.
    #[arg(long, value_parser = PossibleValuesParser::new(Fact::KINDS), hide_possible_values = true)]
    kind: Option<String>,
    /// Begin with the last N events.
    #[arg(short = 'n', long = "last", value_name = "N", default_value_t = 0, conflicts_with = "since",
        value_parser = clap::value_parser!(u64).range(0..=LAST_MAX))]
    last: u64,
    /// Begin after this event, such as orders/1790000000000/7: with what its service recorded
    /// after it, and with later events of the others.
    #[arg(long, value_name = "ID")]
    since: Option<String>,
    /// Print each event as a JSON document on a line of its own.
    #[arg(long)]
    json: bool,
}

/// Where the events of one service begin.
#[derive(Debug, Clone, Copy)]
enum Start {
    /// After this place of its log.
    After(u64),
    /// After this moment, in milliseconds since 1970.
    Since(i64),
}

/// Prints events until it is ended, or its output is closed.
pub(crate) async fn tail(tail: TailEvents) -> anyhow::Result<()> {
    let folder = tail.shop.folder("warn")?;
    let starts = tail.starts(&folder).await?;
    let mut table = OutputTable::new(COLUMNS, OutputFormat::by_flag(tail.json));
    let shown = async {
        for event in newest(&folder, &starts, tail.kind.as_deref(), tail.last).await? {
            table.row(&event, row)?;
        }
        let (send, mut events) = mpsc::channel(WAITING_MAX);
        for (service, start) in starts {
            let kind = tail.kind.clone();
            let followed = FollowedLog {
                service,
                socket: folder.control_socket(service.name()),
                kind,
                start,
            };
            tokio::spawn(followed.follow(send.clone()));
        }
        drop(send);
        print(&mut table, &mut events).await
    };
    match shown.await {
        Err(error) if is_closed_pipe(&error) => Ok(()),
        outcome => outcome,
    }
}

async fn print(table: &mut OutputTable, events: &mut Receiver<Value>) -> anyhow::Result<()> {
    let mut is_unread = pin!(unread());
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            () = &mut is_unread => None,
        };
        let Some(event) = event else { return Ok(()) };
        table.row(&event, row)?;
    }
}

/// Resolves once the reader of standard output has closed its pipe, so that this ends although
/// no event comes; never for a file.
async fn unread() {
    let output = std::io::stdout().as_fd().try_clone_to_owned();
    // Unchecked, because this one is only watched, and writes to the other go on to block.
    match output.and_then(pipe::Sender::from_owned_fd_unchecked) {
        Ok(output) => drop(output.ready(Interest::ERROR).await),
        Err(_) => std::future::pending().await,
    }
}

fn row(event: &Value) -> Vec<String> {
    let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
    vec![
        text("at"),
        text("kind"),
        text("id"),
        event["data"].to_string(),
    ]
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let cause = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<std::io::Error>());
    cause.is_some_and(|cause| cause.kind() == ErrorKind::BrokenPipe)
}

/// The services that record events: the gateway records none.
fn sources() -> impl Iterator<Item = ServiceName> {
    let all = ServiceName::ALL.into_iter();
    all.filter(|service| *service != ServiceName::Gateway)
}

impl TailEvents {
    /// Where each service begins. One that does not run begins now.
    async fn starts(&self, folder: &Folder) -> anyhow::Result<Vec<(ServiceName, Start)>> {
        let now = model::now().0;
        let since = match &self.since {
            Some(id) => Some(place(folder, id).await?),
            None => None,
        };
        let starts = sources().map(async |service| match since {
            Some((of, seq, _)) if of == service => Ok((service, Some(Start::After(seq)))),
            Some((_, _, at)) => Ok((service, Some(Start::Since(at)))),
            None => {
                let tail = tail_of(folder, service).await?;
                Ok::<_, anyhow::Error>((service, tail.map(Start::After)))
            }
        });
        let starts: anyhow::Result<Vec<_>> = join_all(starts).await.into_iter().collect();
        let starts = starts?;
        if starts.iter().all(|(_, start)| start.is_none()) {
            bail!(
                "{}: the shop does not run; start it with `konbini up`, or its services",
                folder.path().display()
            );
        }
        let started = starts.into_iter();
        Ok(started
            .map(|(service, start)| (service, start.unwrap_or(Start::Since(now))))
            .collect())
    }
}

/// The end of a service's log; `None` if the service does not run.
async fn tail_of(folder: &Folder, service: ServiceName) -> anyhow::Result<Option<u64>> {
    let socket = folder.control_socket(service.name());
    match control::ask(&socket, Method::GET, "/control/positions").await {
        Err(error) if control::is_at_rest(&error) => Ok(None),
        response => Ok(response?.accepted()?.body["log"]["seq"].as_u64()),
    }
}

/// The service, place and time of the event of an id.
async fn place(folder: &Folder, id: &str) -> anyhow::Result<(ServiceName, u64, i64)> {
    const FORM: UsageError =
        UsageError("--since takes the id of an event, such as orders/1790000000000/7");
    let (service, rest) = id.split_once('/').ok_or(FORM)?;
    let service = sources()
        .find(|source| source.name() == service)
        .ok_or(FORM)?;
    let seq = rest
        .rsplit('/')
        .next()
        .and_then(|seq| seq.parse::<u64>().ok());
    let seq = seq.filter(|seq| *seq > 0).ok_or(FORM)?;
    let path = format!("/control/events?limit=1&after={}", seq - 1);
    let page = control::ask(&folder.control_socket(service.name()), Method::GET, &path).await?;
    let page = page.accepted()?.body;
    let at: Result<Time, _> = serde_json::from_value(page["items"][0]["at"].clone());
    let at = at.with_context(|| format!("{} has no event {seq}", service.name()))?;
    Ok((service, seq, at.0))
}

/// The last `count` events of all services before their starts, oldest first.
pub(crate) async fn last(folder: &Folder, count: u64) -> anyhow::Result<Vec<Value>> {
    let starts = sources().map(async |service| {
        let tail = tail_of(folder, service).await?;
        Ok::<_, anyhow::Error>(tail.map(|tail| (service, Start::After(tail))))
    });
    let starts: anyhow::Result<Vec<_>> = join_all(starts).await.into_iter().collect();
    let starts: Vec<_> = starts?.into_iter().flatten().collect();
    newest(folder, &starts, None, count).await
}

async fn newest(
    folder: &Folder,
    starts: &[(ServiceName, Start)],
    kind: Option<&str>,
    count: u64,
) -> anyhow::Result<Vec<Value>> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let kind = kind.map_or_else(String::new, |kind| format!("&kind={kind}"));
    let path = format!("/control/events?limit={count}{kind}");
    let mut events = Vec::new();
    for (service, start) in starts {
        let Start::After(tail) = start else { continue };
        let socket = folder.control_socket(service.name());
        let page = control::ask(&socket, Method::GET, &path)
            .await?
            .accepted()?;
        let items = page.body["items"].as_array().cloned().unwrap_or_default();
        // Later ones are followed.
        events.extend(
            items
                .into_iter()
                .filter(|one| one["seq"].as_u64() <= Some(*tail)),
        );
    }
    // RFC 3339 in UTC sorts by text as by time.
    events.sort_by_key(|one| (one["at"].to_string(), one["seq"].as_u64()));
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    Ok(events.split_off(events.len().saturating_sub(count)))
}

/// The log of one service, as it is followed.
struct FollowedLog {
    service: ServiceName,
    socket: PathBuf,
    kind: Option<String>,
    start: Start,
}

impl FollowedLog {
    /// Sends its events until the receiver is gone; asks again when the service restarts.
    async fn follow(mut self, send: Sender<Value>) {
        let mut pause = RETRY_FIRST;
        let mut is_noted = false;
        while !send.is_closed() {
            match self.events(&send).await {
                Ok(()) => (pause, is_noted) = (RETRY_FIRST, false),
                Err(error) if !is_noted => {
                    let name = self.service.name();
                    let why = match control::is_at_rest(&error) {
                        true => "it does not run".to_owned(),
                        false => format!("{error:#}"),
                    };
                    output::error_line!("konbini: waiting for {name}: {why}");
                    is_noted = true;
                }
                Err(_) => {}
            }
            tokio::time::sleep(pause).await;
            pause = RETRY_MAX.min(pause * 2);
        }
    }

    /// Sends the events of one connection.
    async fn events(&mut self, send: &Sender<Value>) -> anyhow::Result<()> {
        let begin = match self.start {
            Start::After(seq) => format!("after={seq}"),
            Start::Since(at) => format!("since={at}"),
        };
        let kind = self
            .kind
            .as_ref()
            .map_or_else(String::new, |kind| format!("&kind={kind}"));
        let path = format!("/control/events/follow?{begin}{kind}");
        let mut stream = control::open_stream(&self.socket, &path).await?;
        let mut arrived = Vec::new();
        loop {
            let frame = tokio::select! {
                frame = stream.body.frame() => frame,
                () = send.closed() => return Ok(()),
            };
            // A service that was killed cuts its response off.
            let Some(Ok(frame)) = frame else {
                return Ok(());
            };
            if let Ok(data) = frame.into_data() {
                arrived.extend_from_slice(&data);
            }
            while let Some(end) = arrived.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = arrived.drain(..=end).collect();
                let event: Value = serde_json::from_slice(&line)?;
                if let Some(seq) = event["seq"].as_u64() {
                    self.start = Start::After(seq);
                }
                if send.send(event).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
}
