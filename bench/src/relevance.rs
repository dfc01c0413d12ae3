//! `konbini-bench relevance`: how well a shop's search ranks, by the judgement of
//! people.
//!
//! The shop must hold the catalogue that was judged (`konbini-bench import`).
//! Unjudged products count as worthless, which is hard on a search that
//! finds other good ones; so the same figure without them, and how much of the
//! first page was judged at all, always stand beside it.
//!
//! **Invariant:** only queries with a relevant product are scored; for the others
//! the measure is not defined.

mod twins;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use reqwest::{StatusCode, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use self::twins::TwinsReport;
use crate::client::ShopClient;
use crate::progress::PhaseProgress;
use crate::table::{self, ReportTable};

/// Places of a page that count.
const DEPTH: usize = 10;
/// Results asked for, so that judged ones further down are seen: a whole page.
const LIMIT: &str = "100";

/// Score a shop's search against judged queries, clean and misspelled.
///
/// FOLDER holds `queries.jsonl`, `judgements.tsv` and, maybe, `typo_queries.jsonl`; the
/// shop holds the catalogue they were judged on, by SKU. Printed are NDCG@10 with
/// gains of 2^grade - 1, the same with unjudged results taken out before the
/// cut, the share of the first ten results that was judged, the share of the relevant
/// products (of at most ten) among the first ten, and how well the spellings of the
/// catalogue's own words find one another.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The folder of queries and judgements.
    #[arg(long, value_name = "FOLDER")]
    data: PathBuf,

    /// The shop's address.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    url: Url,

    /// Print every query, the worst first.
    #[arg(long)]
    verbose: bool,

    /// Print everything as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Deserialize)]
struct Query {
    query_id: String,
    query: String,
}

#[derive(Deserialize)]
struct Misspelled {
    query_id: String,
    typo_query: String,
}

#[derive(Deserialize)]
struct Results {
    items: Vec<Item>,
    corrected: Option<String>,
}

#[derive(Deserialize)]
struct Item {
    sku: String,
}

/// Product to grade, 0 to 3.
type Grades = HashMap<String, u32>;

#[derive(Serialize)]
struct Scored {
    query: String,
    corrected: Option<String>,
    ndcg: f64,
    judged_only_ndcg: f64,
    judged_share: f64,
    recall: f64,
}

/// The means of a set of queries.
#[derive(Serialize)]
struct Means {
    queries: usize,
    ndcg: f64,
    judged_only_ndcg: f64,
    judged_share: f64,
    recall: f64,
}

#[derive(Serialize)]
struct RelevanceReport {
    clean: Means,
    misspelled: Means,
    twins: TwinsReport,
    clean_queries: Vec<Scored>,
    misspelled_queries: Vec<Scored>,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let client = ShopClient::new(args.url)?;
    let judgements = judgements(&args.data.join("judgements.tsv"))?;
    let clean: Vec<Query> = lines(&args.data.join("queries.jsonl"))?;
    let misspelled = args.data.join("typo_queries.jsonl");
    let misspelled: Vec<Misspelled> = if misspelled.exists() {
        lines(&misspelled)?
    } else {
        Vec::new()
    };
    let clean = clean.into_iter().map(|query| (query.query_id, query.query));
    let misspelled = misspelled
        .into_iter()
        .map(|query| (query.query_id, query.typo_query));
    let clean_queries = score(&client, &judgements, "clean queries", clean.collect()).await?;
    let misspelled_queries = score(
        &client,
        &judgements,
        "misspelled queries",
        misspelled.collect(),
    )
    .await?;
    let report = RelevanceReport {
        clean: means(&clean_queries),
        misspelled: means(&misspelled_queries),
        twins: twins::run(&client).await?,
        clean_queries,
        misspelled_queries,
    };
    table::print(args.json, &report, || show(&report, args.verbose))?;
    Ok(ExitCode::SUCCESS)
}

async fn score(
    client: &ShopClient,
    judgements: &HashMap<String, Grades>,
    what: &'static str,
    queries: Vec<(String, String)>,
) -> anyhow::Result<Vec<Scored>> {
    let progress = PhaseProgress::count(what, queries.len() as u64);
    let mut scored = Vec::new();
    for (id, query) in queries {
        progress.step();
        let Some(grades) = judgements.get(&id).filter(|grades| ideal(grades) > 0.0) else {
            continue;
        };
        let wanted = [("q", query.as_str()), ("limit", LIMIT)];
        let request = client.query(&["v1", "products", "search"], &wanted);
        let answer = client.send(request).await?;
        let results: Results = answer.expect(StatusCode::OK, "searching")?;
        let found: Vec<Option<u32>> = results
            .items
            .iter()
            .map(|item| grades.get(&item.sku).copied())
            .collect();
        let first = &found[..found.len().min(DEPTH)];
        let judged = first.iter().flatten().count();
        let best = ideal(grades);
        let part = |grades: &mut dyn Iterator<Item = u32>| gain(grades) / best;
        scored.push(Scored {
            ndcg: part(&mut found.iter().map(|grade| grade.unwrap_or(0))),
            judged_only_ndcg: part(&mut found.iter().flatten().copied()),
            judged_share: judged as f64 / first.len().max(1) as f64,
            recall: recall(first, grades),
            corrected: results.corrected,
            query,
        });
    }
    progress.finish();
    Ok(scored)
}

/// The discounted gain of the first places.
fn gain(grades: &mut dyn Iterator<Item = u32>) -> f64 {
    grades
        .take(DEPTH)
        .enumerate()
        .map(|(place, grade)| (2_f64.powf(f64::from(grade)) - 1.0) / (place as f64 + 2.0).log2())
        .sum()
}

/// The share of the relevant products that are found, of at most as many as are counted.
fn recall(found: &[Option<u32>], grades: &Grades) -> f64 {
    let relevant = grades.values().filter(|grade| **grade > 0).count();
    let found = found.iter().flatten().filter(|grade| **grade > 0).count();
    found as f64 / relevant.clamp(1, DEPTH) as f64
}

/// The gain of the best order there is.
fn ideal(grades: &Grades) -> f64 {
    let mut grades: Vec<u32> = grades.values().copied().collect();
    grades.sort_unstable_by_key(|grade| std::cmp::Reverse(*grade));
    gain(&mut grades.into_iter())
}

fn means(scored: &[Scored]) -> Means {
    let mean =
        |of: fn(&Scored) -> f64| scored.iter().map(of).sum::<f64>() / scored.len().max(1) as f64;
    Means {
        queries: scored.len(),
        ndcg: mean(|scored| scored.ndcg),
        judged_only_ndcg: mean(|scored| scored.judged_only_ndcg),
        judged_share: mean(|scored| scored.judged_share),
        recall: mean(|scored| scored.recall),
    }
}

fn lines<T: DeserializeOwned>(path: &Path) -> anyhow::Result<Vec<T>> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let line = |(number, line)| {
        serde_json::from_str(line)
            .with_context(|| format!("{}, line {}", path.display(), number + 1))
    };
    text.lines().enumerate().map(line).collect()
}

fn judgements(path: &Path) -> anyhow::Result<HashMap<String, Grades>> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut judgements: HashMap<String, Grades> = HashMap::new();
    for (number, line) in text.lines().enumerate().skip(1) {
        let mut fields = line.split('\t');
        let (Some(query), Some(product), Some(Ok(grade))) =
            (fields.next(), fields.next(), fields.next().map(str::parse))
        else {
            anyhow::bail!(
                "{}, line {}: not query, product, grade",
                path.display(),
                number + 1
            );
        };
        judgements
            .entry(query.to_owned())
            .or_default()
            .insert(product.to_owned(), grade);
    }
    Ok(judgements)
}

fn show(report: &RelevanceReport, verbose: bool) -> ReportTable {
    let mut table = ReportTable::default();
    for (title, means, queries) in [
        ("Clean queries", &report.clean, &report.clean_queries),
        (
            "Misspelled queries",
            &report.misspelled,
            &report.misspelled_queries,
        ),
    ] {
        if queries.is_empty() {
            continue;
        }
        table
            .section(title)
            .count("scored", means.queries as u64)
            .row("NDCG@10", format!("{:.3}", means.ndcg))
            .row(
                "NDCG@10, judged only",
                format!("{:.3}", means.judged_only_ndcg),
            )
            .row(
                "judged share of the first 10",
                format!("{:.3}", means.judged_share),
            )
            .row("recall@10", format!("{:.3}", means.recall));
        if verbose {
            let mut queries: Vec<&Scored> = queries.iter().collect();
            queries.sort_by(|one, other| one.ndcg.total_cmp(&other.ndcg));
            table.line("NDCG  judged only  share  query");
            for scored in queries {
                let Scored { query, corrected, ndcg, judged_only_ndcg, judged_share, .. } = scored;
                let corrected = corrected
                    .as_ref()
                    .map(|to| format!(" → {to}"))
                    .unwrap_or_default();
                table.line(format!(
                    "{ndcg:.2}  {judged_only_ndcg:>11.2}  {judged_share:>5.2}  {query}{corrected}"
                ));
            }
        }
    }
    twins::show(&report.twins, &mut table, verbose);
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_order_gains_the_ideal() {
        let grades: Grades = [("a", 3), ("b", 0), ("c", 1)]
            .map(|(product, grade)| (product.to_owned(), grade))
            .into();
        assert!((ideal(&grades) - (7.0 + 1.0 / 3_f64.log2())).abs() < 1e-9);
        assert!((gain(&mut [3, 1, 0].into_iter()) - ideal(&grades)).abs() < 1e-9);
        assert!(gain(&mut [0, 3].into_iter()) < ideal(&grades));
        let late = std::iter::repeat_n(0, DEPTH).chain([3]);
        assert!(gain(&mut late.into_iter()).abs() < 1e-9);
        assert!((recall(&[Some(3), Some(0), None], &grades) - 0.5).abs() < 1e-9);
    }
}
