//! The load driver: every scenario's requests, by a schedule or in a closed loop.
//!
//! All workers share one thread, so that thousands of connections cost one core. An operation
//! has two times: the response time from its intended start, which is what a customer waits,
//! and the service time from the actual one. A closed loop stops asking while the server
//! stalls, and so hides the stall (coordinated omission); a schedule does not, and each start
//! that found every worker busy is counted as missed.
//!
//! **Invariant:** every intended start of the measured time ends as an operation or as a
//! dropped start, also when the time is over.

mod arrivals;
mod connection;
mod http1;
mod http2;
mod options;
mod recorder;
mod request;
mod target;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use model::Time;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::{Mutex, oneshot};
use tokio::task::LocalSet;

use self::arrivals::{Alarm, Schedule};
pub(crate) use self::arrivals::{ArrivalKind, Arrivals};
use self::connection::Connection;
pub(crate) use self::options::{LoadOptions, ResultOptions, SendOptions, rate};
use self::recorder::{Instants, MeasuredSpan, Recorder};
pub(crate) use self::request::{
    Items, Judgement, LoadOperation, LoadRequest, LoadResponse, Requests,
};
pub(crate) use self::target::{HttpVersion, LoadTarget};
use crate::cost::{MeterTimes, Subject};
use crate::result::{ClientCost, LoadResult, ProcessCost, micros};

/// Timeout of an operation; the shop's own timeouts are shorter.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How late a start may be in a run for so long: one that is later is far beyond the knee, and
/// would only measure its own queue.
pub(crate) const LATE_MAX: Duration = Duration::from_secs(10);
/// Connections opened concurrently, below the accept backlog of most servers.
const CONNECTS_AT_ONCE: usize = 64;

/// A run.
#[derive(Clone)]
pub(crate) struct LoadPlan {
    pub(crate) target: LoadTarget,
    pub(crate) arrivals: Arrivals,
    /// Operations in flight at most.
    pub(crate) workers: usize,
    pub(crate) warm_up: Duration,
    /// `None` where the requests end the run.
    pub(crate) measured: Option<Duration>,
    /// A start that is later than this is dropped; `None` where each has to be made.
    pub(crate) late_max: Option<Duration>,
    /// The processes whose costs are measured.
    pub(crate) subject: Subject,
    /// How long they are measured after the last answer of requests that end the run, for
    /// whatever follows of it in other services.
    pub(crate) settle: Duration,
}

/// What came of a run.
pub(crate) struct Measured {
    pub(crate) began: Time,
    pub(crate) lasting: Duration,
    pub(crate) loads: Vec<LoadResult>,
    pub(crate) costs: Vec<ProcessCost>,
    pub(crate) client: ClientCost,
    /// Failed operations of the warm-up.
    failed_before: u64,
    /// The first failed operation, described.
    pub(crate) first_failure: Option<String>,
    subject: Subject,
}

impl Measured {
    /// The processor time of all processes of the shop, in microseconds; `None` where one of
    /// them could not be measured.
    pub(crate) fn shop_processor_us(&self) -> Option<u64> {
        let processes = self.subject.processes.len();
        let is_whole = !self.costs.is_empty() && self.costs.len() == processes;
        is_whole.then(|| self.costs.iter().map(|cost| cost.processor_us).sum())
    }

    /// Operations that failed, at whatever time.
    pub(crate) fn failed(&self) -> u64 {
        self.failed_before + self.loads.iter().map(|load| load.failed).sum::<u64>()
    }

    /// Fails if an operation failed; `doing` is for the error.
    pub(crate) fn ensure_expected(&self, doing: &str) -> anyhow::Result<()> {
        match &self.first_failure {
            Some(failure) => bail!("{doing} was answered {failure}"),
            None => Ok(()),
        }
    }
}

impl LoadPlan {
    /// A closed loop of so many workers that goes on until the requests end.
    pub(crate) fn closed(target: LoadTarget, workers: usize) -> Self {
        Self {
            target,
            arrivals: Arrivals::Closed,
            workers,
            warm_up: Duration::ZERO,
            measured: None,
            late_max: None,
            subject: Subject::default(),
            settle: Duration::ZERO,
        }
    }

    /// Runs it on a thread of its own, and returns the requests with what came of them.
    pub(crate) async fn run<R: Requests>(self, requests: R) -> anyhow::Result<(R, Measured)> {
        ensure!(self.workers > 0, "a load needs at least one connection");
        allow_open_files();
        let runtime = tokio::runtime::Handle::current();
        let (done, result) = oneshot::channel();
        let thread = std::thread::Builder::new().name("load".to_owned());
        let running = thread.spawn(move || {
            // Where the receiver is gone, the whole command is.
            let _ = done.send(self.run_here(requests, &runtime));
        });
        running.context("cannot start the load's thread")?;
        result.await.context("the load's thread panicked")?
    }

    fn run_here<R: Requests>(
        self,
        requests: R,
        elsewhere: &tokio::runtime::Handle,
    ) -> anyhow::Result<(R, Measured)> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start the load's runtime")?;
        let local = LocalSet::new();
        local.block_on(&runtime, self.drive(requests, elsewhere))
    }

    async fn drive<R: Requests>(
        self,
        requests: R,
        elsewhere: &tokio::runtime::Handle,
    ) -> anyhow::Result<(R, Measured)> {
        let connections = self.connect().await?;
        let (over, is_over) = oneshot::channel();
        let (ready, is_ready) = oneshot::channel();
        let times = MeterTimes { warm_up: self.warm_up, lasting: self.measured };
        let costs = self.subject.clone().measure(times, ready, is_over);
        let costs = elsewhere.spawn(costs);
        if self.warm_up.is_zero() {
            // The first operation counts.
            is_ready.await.context("the costs are not measured")?;
        }
        let begin = Instant::now();
        let from = begin + self.warm_up;
        let span = MeasuredSpan { from, until: self.measured.map(|lasting| from + lasting) };
        let whole = self.measured.map(|measured| self.warm_up + measured);
        let schedule = self.arrivals.schedule(whole);
        let began = model::now().after(self.warm_up);
        let run = Rc::new(Run {
            target: self.target,
            begin,
            until: span.until,
            late_max: self.late_max,
            recorder: RefCell::new(Recorder::new(requests.kinds(), span)?),
            requests: RefCell::new(requests),
            starts: match schedule {
                Some(schedule) => Some(Mutex::new((schedule, Alarm::new()?))),
                None => None,
            },
            state: Cell::new(RunState::Going),
        });
        let workers = connections
            .into_iter()
            .enumerate()
            .map(|(number, connection)| {
                tokio::task::spawn_local(run.clone().work(number, connection))
            });
        let workers: Vec<_> = workers.collect();
        let count = workers.len() as u32;
        for worker in workers {
            worker.await.context("a worker panicked")??;
        }
        let lasting = self.measured.unwrap_or_else(|| span.from.elapsed());
        tokio::time::sleep(self.settle).await;
        drop(over);
        let (costs, client) = costs.await.context("the costs were not measured")?;
        let run = Rc::into_inner(run).context("a worker is left")?;
        let recorded = run
            .recorder
            .into_inner()
            .end(&self.arrivals.to_string(), count)?;
        let measured = Measured {
            began,
            lasting,
            loads: recorded.loads,
            costs,
            client: ClientCost {
                processor_us: client.map(micros),
                missed_starts: recorded.missed,
                dropped_starts: recorded.dropped,
                start_delay: recorded.start_delay.latency()?,
            },
            failed_before: recorded.failed_before,
            first_failure: recorded.first_failure,
            subject: self.subject,
        };
        Ok((run.requests.into_inner(), measured))
    }

    /// Opens every connection, so that no operation waits for its own.
    async fn connect(&self) -> anyhow::Result<Vec<Connection>> {
        let connections = Connection::of_workers(self.workers, self.target.version());
        let connections = stream::iter(connections);
        let opened = connections.map(|mut connection| async move {
            connection.open(&self.target).await?;
            io::Result::Ok(connection)
        });
        let opened = opened.buffered(CONNECTS_AT_ONCE).try_collect().await;
        opened.with_context(|| format!("cannot connect to {}", self.target.host()))
    }
}

/// Lets this process open as many files as its user may: the soft limit is 1024 on many hosts,
/// and connections are files.
fn allow_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit { current: limit.maximum, ..limit };
    // Where that is refused, a connection will say so.
    let _ = setrlimit(Resource::Nofile, most);
}

/// What the workers of a run share.
struct Run<R> {
    target: LoadTarget,
    begin: Instant,
    until: Option<Instant>,
    late_max: Option<Duration>,
    requests: RefCell<R>,
    recorder: RefCell<Recorder>,
    /// `None` in a closed loop. The lock is fair, so the worker that has been free longest waits
    /// for the next start, and the others for the lock.
    starts: Option<Mutex<(Schedule, Alarm)>>,
    state: Cell<RunState>,
}

/// Whether there are requests left.
#[derive(Clone, Copy, PartialEq, Eq)]
enum RunState {
    Going,
    Ended,
}

impl<R: Requests> Run<R> {
    /// One operation after the other, until there are no more.
    async fn work(self: Rc<Self>, number: usize, mut connection: Connection) -> anyhow::Result<()> {
        let mut request = LoadRequest::default();
        let mut free = self.begin;
        loop {
            let Some(due) = self.due(free).await? else {
                return Ok(());
            };
            request.clear();
            let kind = self.requests.borrow_mut().next(number, &mut request);
            let Some(kind) = kind else {
                self.state.set(RunState::Ended);
                return Ok(());
            };
            let start = Instant::now();
            // A closed loop has no other intention than to start when it does.
            let due = due.unwrap_or(start);
            loop {
                let answer = connection.exchange(&self.target, &request);
                let response = match tokio::time::timeout(TIMEOUT, answer).await {
                    Ok(response) => response,
                    Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time")),
                };
                let end = Instant::now();
                let operation = LoadOperation {
                    worker: number,
                    kind,
                    response,
                    due,
                    response_time: end - due,
                };
                let judgement = self.requests.borrow_mut().judge(&operation);
                if let Judgement::Again(wait) = judgement {
                    tokio::time::sleep(wait).await;
                    continue;
                }
                let at = Instants { free, due, start, end };
                let mut recorder = self.recorder.borrow_mut();
                recorder.record(&operation, at, judgement);
                break;
            }
            free = Instant::now();
        }
    }

    /// Waits for the next start: `None` when there is no more, and the inner one is `None` in a
    /// closed loop.
    async fn due(&self, free: Instant) -> anyhow::Result<Option<Option<Instant>>> {
        let Some(starts) = &self.starts else {
            let is_over = self.until.is_some_and(|until| free >= until);
            return Ok((!is_over && self.is_going()).then_some(None));
        };
        let (schedule, alarm) = &mut *starts.lock().await;
        loop {
            let next = schedule.next().filter(|_| self.is_going());
            let Some(offset) = next else { return Ok(None) };
            let due = self.begin + offset;
            let late_max = self.late_max.unwrap_or(Duration::MAX);
            if due.elapsed() <= late_max {
                alarm.until(due).await?;
                return Ok(Some(Some(due)));
            }
            self.recorder.borrow_mut().drop_start(due);
        }
    }

    fn is_going(&self) -> bool {
        self.state.get() == RunState::Going
    }
}
