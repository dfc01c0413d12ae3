//! `konbini-bench report`: result files as one page, as charts, and as tables of a document.

mod charts;
mod markdown;
mod page;
mod plot;
mod sections;
mod tables;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};

/// Draw result files: percentile curves, latency over time, the knee of a sweep, what it
/// cost, and comparisons.
///
/// Two runs of one scenario are compared, and so are the two sides of a file of `against`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Result files that scenarios, `sweep` or `against` wrote.
    #[arg(required = true)]
    files: Vec<PathBuf>,

    /// Write one self-contained HTML page.
    #[arg(long)]
    out: Option<PathBuf>,

    /// Write every chart as an SVG file into this folder.
    #[arg(long)]
    svg: Option<PathBuf>,

    /// Print facts and tables as Markdown.
    #[arg(long)]
    markdown: bool,

    /// Put the Markdown into this document, between the lines `<!-- measured: NAME -->` and
    /// `<!-- measured: end -->`; NAME is given with --name.
    #[arg(long, requires = "name")]
    into: Option<PathBuf>,

    /// The name of the place in the document.
    #[arg(long, requires = "into")]
    name: Option<String>,

    /// The commit that the measured program was built of, for the facts.
    #[arg(long)]
    commit: Option<String>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    ensure!(
        args.out.is_some() || args.svg.is_some() || args.markdown || args.into.is_some(),
        "nothing to write; give --out, --svg, --markdown or --into"
    );
    let files = sections::read(&args.files)?;
    let sections = sections::of_files(&files, args.commit.as_deref())?;
    if let Some(path) = &args.out {
        write(path, &page::html(&sections))?;
    }
    if let Some(folder) = &args.svg {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        for chart in sections.iter().flat_map(|section| &section.charts) {
            let path = folder.join(&chart.name).with_extension("svg");
            write(&path, &page::standalone(&chart.svg))?;
        }
    }
    if args.markdown {
        print!("{}", markdown::text(&sections));
    }
    if let (Some(document), Some(name)) = (&args.into, &args.name) {
        markdown::put(document, name, &markdown::text(&sections))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes a page of these files, below a table of scenarios: name, command, duration and
/// outcome of each.
pub(crate) fn write_page(
    out: &Path,
    files: &[PathBuf],
    scenarios: Vec<Vec<String>>,
) -> anyhow::Result<()> {
    let files = sections::read(files)?;
    let mut sections = vec![sections::of_scenarios(scenarios)];
    sections.extend(sections::of_files(&files, None)?);
    write(out, &page::html(&sections))
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests;
