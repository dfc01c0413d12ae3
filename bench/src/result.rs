//! The result file of a run: the operations, their responses, and what they cost the shop.
//!
//! JSON, one [`RunResult`] or a list of them. Times are microseconds, sizes bytes. A figure
//! that could not be read is absent or `null`. **Invariant:** a reader refuses a [`FORMAT`]
//! other than its own, and fields are only ever added within one.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use data_encoding::BASE64;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};
use model::Time;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The version of the shape of a result file.
pub(crate) const FORMAT: u32 = 1;

/// One run of one scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunResult {
    /// [`FORMAT`].
    pub(crate) format: u32,
    /// The subcommand, such as `orders`.
    pub(crate) scenario: String,
    /// The command line after the program's name, without credentials.
    pub(crate) arguments: Vec<String>,
    /// When measuring began, after the warm-up.
    pub(crate) began: Time,
    /// What the shop says of itself.
    pub(crate) version: Option<String>,
    pub(crate) machine: Machine,
    /// The smaller or slower hardware that the shop was given of it, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hardware: Option<String>,
    /// The disk under the shop's data, if it was measured in the same run.
    pub(crate) disk: Option<RawSyncs>,
    pub(crate) measured_seconds: f64,
    /// One for each kind of operation.
    pub(crate) loads: Vec<LoadResult>,
    /// One for each process of the shop whose figures could be read.
    pub(crate) costs: Vec<ProcessCost>,
    pub(crate) client: ClientCost,
    /// What this run of a sweep differs in from the others of its file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) swept: Option<SweptValue>,
}

/// The host that client and shop share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) processor: Option<String>,
    pub(crate) cores: usize,
    pub(crate) kernel: Option<String>,
    pub(crate) memory_bytes: Option<u64>,
}

/// A page of 4 KiB appended and `fdatasync`ed, again and again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RawSyncs {
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

/// Operations of one kind, over the measured time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LoadResult {
    /// Such as `order` or `search`.
    pub(crate) kind: String,
    /// How they were scheduled, such as `closed` or `poisson 2000/s`, all kinds together.
    pub(crate) arrivals: String,
    /// The connections that all kinds shared.
    pub(crate) connections: u32,
    /// Answered, with success or not; their intended starts lie in the measured time.
    pub(crate) operations: u64,
    /// Those of them that were not answered with the expected status, or not at all.
    pub(crate) failed: u64,
    /// By status, or by the transport's error.
    pub(crate) answers: BTreeMap<String, u64>,
    /// From the intended start to the end of the answer; without the failed ones.
    pub(crate) response: Latency,
    /// From the actual start; the same as `response` where arrivals are closed.
    pub(crate) service: Latency,
    pub(crate) seconds: Vec<Second>,
}

/// Quantiles, and all that they come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) p50_us: f64,
    pub(crate) p90_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    pub(crate) max_us: f64,
    /// Of nanoseconds, as HdrHistogram V2 with deflate, in base64.
    pub(crate) histogram: String,
}

/// One second of the measured time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Second {
    /// From 0.
    pub(crate) second: u32,
    /// Operations whose intended start lies in it.
    pub(crate) started: u64,
    /// Those of any second that ended in it.
    pub(crate) finished: u64,
    /// Intended starts in it at which every connection was busy.
    pub(crate) missed: u64,
    /// Response times of those that ended in it; absent where none did.
    pub(crate) p50_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
    pub(crate) max_us: Option<f64>,
}

/// What a process used over the measured time, in total.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ProcessCost {
    /// Such as `up` or `orders`.
    pub(crate) name: String,
    /// In user and in system mode.
    pub(crate) processor_us: u64,
    pub(crate) resident_bytes_max: u64,
    pub(crate) minor_faults: u64,
    pub(crate) major_faults: u64,
    /// Calls of `fdatasync` by its stores, as its metrics count them.
    pub(crate) syncs: Option<u64>,
    /// Handed to the disk (`write_bytes` of proc(5)).
    pub(crate) written_bytes: Option<u64>,
}

/// The client's own part in a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ClientCost {
    pub(crate) processor_us: Option<u64>,
    /// Intended starts at which every connection was busy.
    pub(crate) missed_starts: u64,
    /// Of these, those that were never sent, since the backlog was full.
    pub(crate) dropped_starts: u64,
    /// From an intended start to the actual one: many of the shop's answers were due, or this
    /// client was saturated.
    pub(crate) start_delay: Latency,
}

/// The point of a sweep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SweptValue {
    /// Such as `rate` or `connections`.
    pub(crate) what: String,
    pub(crate) value: f64,
}

impl RunResult {
    /// Operations of every kind.
    pub(crate) fn operations(&self) -> u64 {
        self.loads.iter().map(|load| load.operations).sum()
    }
}

impl LoadResult {
    /// Operations a second over `seconds` of measured time.
    pub(crate) fn rate(&self, seconds: f64) -> f64 {
        self.operations as f64 / seconds.max(f64::EPSILON)
    }
}

impl ProcessCost {
    /// Processor time an operation, in microseconds.
    pub(crate) fn processor_us_each(&self, operations: u64) -> Option<f64> {
        each(self.processor_us, operations)
    }

    /// Calls of `fdatasync` an operation.
    pub(crate) fn syncs_each(&self, operations: u64) -> Option<f64> {
        each(self.syncs?, operations)
    }

    /// Bytes written an operation.
    pub(crate) fn written_bytes_each(&self, operations: u64) -> Option<f64> {
        each(self.written_bytes?, operations)
    }
}

/// `None` where there were no operations.
fn each(total: u64, operations: u64) -> Option<f64> {
    (operations > 0).then(|| total as f64 / operations as f64)
}

impl Latency {
    /// The histogram's quantiles, and the histogram.
    pub(crate) fn new(nanos: &Histogram<u64>) -> anyhow::Result<Self> {
        let mut bytes = Vec::new();
        let written = V2DeflateSerializer::new().serialize(nanos, &mut bytes);
        written.map_err(|error| anyhow!("cannot write a histogram: {error:?}"))?;
        let us = |share| nanos.value_at_quantile(share) as f64 / 1e3;
        Ok(Self {
            p50_us: us(0.5),
            p90_us: us(0.9),
            p99_us: us(0.99),
            p999_us: us(0.999),
            max_us: us(1.0),
            histogram: BASE64.encode(&bytes),
        })
    }

    /// The histogram, of nanoseconds.
    pub(crate) fn histogram(&self) -> anyhow::Result<Histogram<u64>> {
        let bytes = BASE64.decode(self.histogram.as_bytes());
        let bytes = bytes.context("a histogram is not in base64")?;
        let read = Deserializer::new().deserialize(&mut Cursor::new(bytes));
        read.map_err(|error| anyhow!("cannot read a histogram: {error:?}"))
    }
}

impl Machine {
    /// The host that this program runs on.
    pub(crate) fn here() -> Self {
        let line_of = |file: &str, name: &str| {
            let text = std::fs::read_to_string(file).ok()?;
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let kib = line_of("/proc/meminfo", "MemTotal");
        let kib = kib.and_then(|kib| kib.strip_suffix(" kB")?.trim().parse::<u64>().ok());
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok();
        Self {
            processor: line_of("/proc/cpuinfo", "model name"),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: kernel.map(|kernel| kernel.trim().to_owned()),
            memory_bytes: kib.map(|kib| kib * 1024),
        }
    }
}

/// The microseconds of a duration.
pub(crate) fn micros(lasting: Duration) -> u64 {
    u64::try_from(lasting.as_micros()).unwrap_or(u64::MAX)
}

/// Writes the runs of a file: one as itself, several as a list.
pub(crate) fn write(path: &Path, runs: &[RunResult]) -> anyhow::Result<()> {
    let text = match runs {
        [one] if one.swept.is_none() => serde_json::to_string_pretty(one)?,
        all => serde_json::to_string_pretty(all)?,
    };
    std::fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))
}

/// Reads the runs of a file.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<RunResult>> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
    let runs = serde_json::from_str(&text).with_context(|| format!("{shown} is no JSON"))?;
    let runs = match runs {
        Value::Array(runs) => runs,
        one => vec![one],
    };
    let mut read = Vec::new();
    for run in runs {
        let format = run.get("format").and_then(Value::as_u64);
        ensure!(
            format == Some(FORMAT.into()),
            "{shown} is not a result file of format {FORMAT}; measure again with this program"
        );
        let run = serde_json::from_value(run);
        read.push(run.with_context(|| format!("{shown} is not a result file"))?);
    }
    Ok(read)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::series::Series;

    /// A run with a figure of each kind.
    pub(crate) fn sample() -> RunResult {
        let mut series = Series::new().unwrap();
        for millis in [1, 2, 3, 400] {
            series.record_lasting(Duration::from_millis(millis));
        }
        let latency = series.latency().unwrap();
        RunResult {
            format: FORMAT,
            scenario: "orders".to_owned(),
            arguments: vec!["orders".to_owned(), "--clients=4".to_owned()],
            began: model::now(),
            version: None,
            machine: Machine::here(),
            hardware: None,
            disk: Some(series.raw_syncs()),
            measured_seconds: 2.5,
            loads: vec![LoadResult {
                kind: "order".to_owned(),
                arrivals: "constant 2/s".to_owned(),
                connections: 4,
                operations: 5,
                failed: 1,
                answers: BTreeMap::from([("201".to_owned(), 4), ("503".to_owned(), 1)]),
                response: latency.clone(),
                service: latency.clone(),
                seconds: vec![Second {
                    second: 0,
                    started: 5,
                    finished: 4,
                    missed: 1,
                    p50_us: Some(2_000.0),
                    p99_us: Some(400_000.0),
                    max_us: None,
                }],
            }],
            costs: vec![ProcessCost {
                name: "up".to_owned(),
                processor_us: 50,
                resident_bytes_max: 1 << 20,
                minor_faults: 7,
                major_faults: 0,
                syncs: Some(10),
                written_bytes: None,
            }],
            client: ClientCost {
                processor_us: Some(40),
                missed_starts: 1,
                dropped_starts: 0,
                start_delay: latency,
            },
            swept: None,
        }
    }

    #[test]
    fn a_file_keeps_one_run_or_many() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result.json");
        let one = sample();
        let rate = |value| SweptValue { what: "rate".to_owned(), value };
        let many = [1e3, 2e3].map(|value| RunResult { swept: Some(rate(value)), ..sample() });
        for runs in [std::slice::from_ref(&one), &many] {
            write(&path, runs).unwrap();
            assert_eq!(read(&path).unwrap(), runs);
        }
        let nanos = one.loads[0].response.histogram().unwrap();
        assert_eq!(nanos.len(), 4);
        assert_eq!(nanos.max() as f64 / 1e3, one.loads[0].response.max_us);
        let cost = &one.costs[0];
        assert_eq!(cost.syncs_each(one.operations()), Some(2.0));
        assert_eq!(cost.written_bytes_each(one.operations()), None);
        assert_eq!(cost.processor_us_each(0), None);
    }

    #[test]
    fn another_format_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result.json");
        let old = RunResult { format: FORMAT + 1, ..sample() };
        write(&path, &[old]).unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("format"), "{error}");
    }
}
