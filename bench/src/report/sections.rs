//! What a report says of result files: facts, charts and tables, whatever form they are
//! written in.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context;

use super::charts;
use super::tables::{self, FigureTable};
use crate::comparison::{self, ComparisonRow, Sitting};
use crate::result::{self, LoadResult, RunResult};

/// The share of starts that found every connection busy from which a client was saturated.
const MISSED_SHARE_MAX: f64 = 0.01;

/// Arguments that say nothing of what is measured; each has a value.
const PLACES: [&str; 4] = ["--url", "--out", "--dir", "--pid"];

/// A result file, by its name without its ending.
pub(super) struct ResultFile {
    name: String,
    contents: FileContents,
}

enum FileContents {
    Run(Box<RunResult>),
    /// Runs that differ in one value.
    Sweep(Vec<RunResult>),
    Sitting(Sitting),
}

/// A part of a report under a heading of its own.
pub(super) struct ReportSection {
    pub(super) title: String,
    pub(super) facts: Vec<(&'static str, String)>,
    /// Sentences about what to keep in mind.
    pub(super) notices: Vec<String>,
    pub(super) charts: Vec<NamedChart>,
    pub(super) tables: Vec<FigureTable>,
}

/// A chart, and the name of its file.
pub(super) struct NamedChart {
    pub(super) name: String,
    pub(super) svg: String,
}

/// Reads the files; one that holds several runs of no sweep counts as so many.
pub(super) fn read(paths: &[impl AsRef<Path>]) -> anyhow::Result<Vec<ResultFile>> {
    let mut files = Vec::new();
    for path in paths {
        let path = path.as_ref();
        let name = path.file_stem().context("a result file has no name")?;
        let name = name.to_string_lossy().into_owned();
        if let Some(sitting) = Sitting::read(path)? {
            files.push(ResultFile { name, contents: FileContents::Sitting(sitting) });
            continue;
        }
        let runs = result::read(path)?;
        if runs.iter().any(|run| run.swept.is_some()) {
            files.push(ResultFile { name, contents: FileContents::Sweep(runs) });
            continue;
        }
        let is_alone = runs.len() == 1;
        files.extend((1..).zip(runs).map(|(number, run)| {
            let name = if is_alone {
                name.clone()
            } else {
                format!("{name}-{number}")
            };
            ResultFile { name, contents: FileContents::Run(Box::new(run)) }
        }));
    }
    Ok(files)
}

/// The sections of a report on these files.
pub(super) fn of_files(
    files: &[ResultFile],
    commit: Option<&str>,
) -> anyhow::Result<Vec<ReportSection>> {
    let mut sections = together(files)?;
    for file in files {
        let mut section = match &file.contents {
            FileContents::Run(run) => of_run(&file.name, run)?,
            FileContents::Sweep(runs) => of_sweep(&file.name, runs)?,
            FileContents::Sitting(sitting) => of_sitting(&file.name, sitting)?,
        };
        if let Some(commit) = commit {
            section.facts.insert(1, ("Commit", commit.to_owned()));
        }
        sections.push(section);
    }
    Ok(sections)
}

/// A section of the scenarios that were run: name, command, duration and outcome of each.
pub(super) fn of_scenarios(rows: Vec<Vec<String>>) -> ReportSection {
    let mut section = ReportSection::new("Scenarios".to_owned());
    let headings = &["scenario", "command", "took", "outcome"];
    section.tables.push(FigureTable { headings, rows });
    section
}

/// Runs of one scenario beside one another.
fn together(files: &[ResultFile]) -> anyhow::Result<Vec<ReportSection>> {
    let runs = files.iter().filter_map(|file| match &file.contents {
        FileContents::Run(run) => Some((file.name.as_str(), run.as_ref())),
        _ => None,
    });
    let runs: Vec<(&str, &RunResult)> = runs.collect();
    let scenarios: BTreeSet<&str> = runs.iter().map(|(_, run)| run.scenario.as_str()).collect();
    let mut sections = Vec::new();
    for scenario in scenarios {
        let of_scenario = runs.iter().filter(|(_, run)| run.scenario == scenario);
        let of_scenario: Vec<_> = of_scenario.copied().collect();
        if of_scenario.len() < 2 {
            continue;
        }
        let title = format!("{scenario}: {} runs", of_scenario.len());
        let mut section = ReportSection::new(title);
        for kind in kinds(of_scenario.iter().map(|(_, run)| *run)) {
            let loads = of_scenario.iter().flat_map(|(name, run)| {
                let loads = run.loads.iter().filter(|load| load.kind == kind);
                loads.map(move |load| ((*name).to_owned(), load))
            });
            section.add_percentiles(scenario, &kind, loads)?;
        }
        if let [(before_name, before), (after_name, after)] = of_scenario[..]
            && what_was_asked(before) == what_was_asked(after)
        {
            let rows = comparison::compare_apart(
                std::slice::from_ref(before),
                std::slice::from_ref(after),
            )?;
            section.facts.push(("Before", before_name.to_owned()));
            section.facts.push(("After", after_name.to_owned()));
            section.add_comparison(scenario, &rows)?;
        }
        sections.push(section);
    }
    Ok(sections)
}

fn of_run(name: &str, run: &RunResult) -> anyhow::Result<ReportSection> {
    let mut section = ReportSection::about(name, run);
    let loads = || {
        run.loads
            .iter()
            .filter(|load| load.operations > load.failed)
    };
    if loads().next().is_some() {
        let named = loads().map(|load| (load.kind.clone(), load));
        section.add_percentiles(name, "all kinds", named)?;
    }
    for load in loads() {
        if load.seconds.iter().any(|second| second.p50_us.is_some()) {
            let title = format!("{}: latency over time", load.kind);
            let svg = charts::over_time(title, load)?;
            section.add_chart(&[name, &load.kind, "time"], svg);
        }
    }
    section
        .tables
        .push(FigureTable::loads(std::slice::from_ref(run)));
    section.tables.extend(FigureTable::costs(run));
    Ok(section)
}

fn of_sweep(name: &str, runs: &[RunResult]) -> anyhow::Result<ReportSection> {
    let first = runs.first().context("a sweep without runs")?;
    let swept = runs.iter().find_map(|run| run.swept.as_ref());
    let what = swept.map_or("", |swept| swept.what.as_str());
    let mut section = ReportSection::about(name, first);
    section.notices.clear();
    for kind in kinds(runs) {
        let title = format!("{kind}: latency by {what}");
        let svg = charts::knee(title, what.to_owned(), runs, &kind)?;
        section.add_chart(&[name, &kind, "knee"], svg);
    }
    section.tables.push(FigureTable::loads(runs));
    Ok(section)
}

fn of_sitting(name: &str, sitting: &Sitting) -> anyhow::Result<ReportSection> {
    let first = sitting.before.first().context("a sitting without runs")?;
    let mut section = ReportSection::about(name, first);
    section.title = format!("{}: before and after", section.title);
    section.notices.clear();
    section
        .facts
        .push(("Pairs", sitting.before.len().to_string()));
    section.add_comparison(name, &sitting.compare()?)?;
    let sides = [("before", &sitting.before), ("after", &sitting.after)];
    for kind in kinds(&sitting.before) {
        let mut curves = Vec::new();
        let mut throughputs = Vec::new();
        for (side, runs) in sides {
            let loads = || {
                let loads = runs
                    .iter()
                    .flat_map(|run| run.loads.iter().map(|load| (load, run.measured_seconds)));
                loads.filter(|(load, _)| load.kind == kind)
            };
            let merged = charts::merged(loads().map(|(load, _)| &load.response))?;
            curves.push((side.to_owned(), merged));
            let rates = loads().map(|(load, seconds)| load.rate(seconds));
            throughputs.push((side, rates.collect::<Vec<f64>>()));
        }
        let title = format!("{kind}: response time by percentile");
        let svg = charts::percentiles(title, &curves)?;
        section.add_chart(&[name, &kind, "percentiles"], svg);
        let svg = charts::rounds(format!("{kind}: throughput by pair"), throughputs)?;
        section.add_chart(&[name, &kind, "pairs"], svg);
    }
    section.tables.extend(FigureTable::costs(first));
    Ok(section)
}

impl ReportSection {
    fn new(title: String) -> Self {
        let (facts, notices, charts, tables) = Default::default();
        Self { title, facts, notices, charts, tables }
    }

    /// A section with what a reader must know of a run to repeat it.
    fn about(name: &str, run: &RunResult) -> Self {
        let mut section = Self::new(format!("{}: {name}", run.scenario));
        let machine = &run.machine;
        let processor = machine.processor.as_deref().unwrap_or("unknown processor");
        let memory = machine
            .memory_bytes
            .map(|bytes| format!(", {}", tables::mebibytes(bytes)));
        let kernel = machine
            .kernel
            .as_ref()
            .map(|kernel| format!(", Linux {kernel}"));
        let machine = format!(
            "{processor}, {} cores{}{}",
            machine.cores,
            memory.unwrap_or_default(),
            kernel.unwrap_or_default()
        );
        let disk = run.disk.as_ref().map(|disk| {
            let [p50, p99] = [disk.p50_us, disk.p99_us].map(tables::latency_shown);
            format!("a page appended and synced: p50 {p50}, p99 {p99}")
        });
        section.facts = vec![
            ("Measured", run.began.to_string()),
            (
                "Version",
                run.version.clone().unwrap_or_else(|| "unknown".to_owned()),
            ),
            (
                "Command",
                format!("konbini-bench {}", run.arguments.join(" ")),
            ),
            ("Machine", machine),
            (
                "Hardware",
                run.hardware
                    .clone()
                    .unwrap_or_else(|| "all of the machine".to_owned()),
            ),
            ("Disk", disk.unwrap_or_else(|| "not measured".to_owned())),
        ];
        section.notices = notices(run);
        section
    }

    fn add_chart(&mut self, name: &[&str], svg: String) {
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
        let name = name.join("-");
        let name = name
            .chars()
            .map(|letter| if is_plain(letter) { letter } else { '-' });
        self.charts.push(NamedChart { name: name.collect(), svg });
    }

    fn add_percentiles<'a>(
        &mut self,
        name: &str,
        kind: &str,
        loads: impl Iterator<Item = (String, &'a LoadResult)>,
    ) -> anyhow::Result<()> {
        let curves = loads.map(|(name, load)| Ok((name, load.response.histogram()?)));
        let curves: anyhow::Result<Vec<_>> = curves.collect();
        let title = format!("{kind}: response time by percentile");
        let svg = charts::percentiles(title, &curves?)?;
        self.add_chart(&[name, kind, "percentiles"], svg);
        Ok(())
    }

    fn add_comparison(&mut self, name: &str, rows: &[ComparisonRow]) -> anyhow::Result<()> {
        let svg = charts::ratios("Ratios with 95 % intervals".to_owned(), rows)?;
        self.add_chart(&[name, "ratios"], svg);
        self.tables.push(FigureTable::comparison(rows));
        Ok(())
    }
}

/// The arguments of a run but for where it was and where its result went.
fn what_was_asked(run: &RunResult) -> Vec<&str> {
    let mut asked = Vec::new();
    let mut arguments = run.arguments.iter().map(String::as_str);
    while let Some(argument) = arguments.next() {
        let (name, value) = argument.split_once('=').unzip();
        if PLACES.contains(&name.unwrap_or(argument)) {
            if value.is_none() {
                arguments.next();
            }
            continue;
        }
        asked.push(argument);
    }
    asked
}

/// What makes a run less than it seems.
fn notices(run: &RunResult) -> Vec<String> {
    let mut notices = Vec::new();
    for load in run.loads.iter().filter(|load| load.failed > 0) {
        notices.push(format!(
            "{} of {} operations ({}) failed.",
            load.failed, load.operations, load.kind
        ));
    }
    let (missed, operations) = (run.client.missed_starts, run.operations());
    if missed as f64 > MISSED_SHARE_MAX * operations as f64 {
        notices.push(format!(
            "{missed} of {operations} starts found every connection busy: the shop was \
             saturated, or this client was."
        ));
    }
    notices
}

/// Every kind of operation, once.
fn kinds<'a>(runs: impl IntoIterator<Item = &'a RunResult>) -> BTreeSet<String> {
    let loads = runs.into_iter().flat_map(|run| &run.loads);
    let answered = loads.filter(|load| load.operations > load.failed);
    answered.map(|load| load.kind.clone()).collect()
}
