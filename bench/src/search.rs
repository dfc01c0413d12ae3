//! `konbini-bench search`: how long a shop takes to find things.
//!
//! The words are those of the catalogue's own titles, seeded, so a run can be
//! repeated. Each answer is timed twice: as the service says (`took_us`), and as
//! the client saw it.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::ensure;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::{StatusCode, Url};
use serde::{Deserialize, Serialize};

use crate::client::ShopClient;
use crate::progress::PhaseProgress;
use crate::series::{QuantilesMs, Series};
use crate::table::{self, ReportTable};

/// Titles read from the shop, a page at a time.
const TITLE_PAGES: usize = 100;
const PAGE: usize = 100;
/// Shorter words are units and articles.
const WORD_CHARS_MIN: usize = 3;
/// Letters of a word that are typed when suggestions are asked for.
const TYPED_CHARS: usize = 4;

/// Time searches and suggestions over words of the catalogue's own titles.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The shop's address, or a service's own.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    url: Url,

    /// Requests of each kind.
    #[arg(long, default_value_t = 2_000)]
    count: u64,

    /// Of the choice of words.
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Print the figures as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Deserialize)]
struct Results {
    total: usize,
    items: Vec<Item>,
    took_us: u64,
}

#[derive(Deserialize)]
struct Item {
    title: String,
    price: Price,
}

#[derive(Deserialize)]
struct Price {
    amount: i64,
}

/// The kind of query.
#[derive(Debug, Clone, Copy)]
enum Kind {
    TwoWords,
    OneMisspelled,
    Facets,
    Suggest,
}

const KINDS: [(Kind, &str); 4] = [
    (Kind::TwoWords, "two words"),
    (Kind::OneMisspelled, "two words, one misspelled"),
    (Kind::Facets, "two words, 3 facets, price filter"),
    (Kind::Suggest, "suggestions"),
];

#[derive(Serialize)]
struct Figures {
    kind: &'static str,
    at_the_service: Option<QuantilesMs>,
    at_the_client: QuantilesMs,
}

fn line(ms: &QuantilesMs) -> String {
    let QuantilesMs { p50, p90, p99, .. } = ms;
    format!("p50 {p50:6.2}   p90 {p90:6.2}   p99 {p99:6.2} ms")
}

/// A title's words and its product's price.
struct Sample {
    words: Vec<String>,
    price: i64,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let client = ShopClient::new(args.url)?;
    let samples = samples(&client).await?;
    ensure!(!samples.is_empty(), "the shop has no titles of two words");
    let mut random = StdRng::seed_from_u64(args.seed);
    let mut figures = Vec::new();
    for (kind, name) in KINDS {
        let progress = PhaseProgress::count(name, args.count);
        let (mut service, mut seen) = (Series::new()?, Series::new()?);
        for _ in 0..args.count {
            let sample = &samples[random.random_range(0..samples.len())];
            let pairs = question(kind, sample, &mut random);
            let pairs: Vec<(&str, &str)> = pairs
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect();
            let what = if matches!(kind, Kind::Suggest) {
                "suggest"
            } else {
                "search"
            };
            let request = client.query(&["v1", "products", what], &pairs);
            let start = Instant::now();
            let answer = client.send(request).await?;
            seen.record(start);
            if matches!(kind, Kind::Suggest) {
                let _: serde_json::Value = answer.expect(StatusCode::OK, "suggesting")?;
            } else {
                let results: Results = answer.expect(StatusCode::OK, "searching")?;
                service.record_lasting(Duration::from_micros(results.took_us));
            }
            progress.step();
        }
        progress.finish();
        figures.push(Figures {
            kind: name,
            at_the_service: (service.count() > 0).then(|| service.quantiles()),
            at_the_client: seen.quantiles(),
        });
    }
    table::print(args.json, &figures, || show(&figures, args.seed))?;
    Ok(ExitCode::SUCCESS)
}

async fn samples(client: &ShopClient) -> anyhow::Result<Vec<Sample>> {
    let progress = PhaseProgress::count("reading titles", TITLE_PAGES as u64);
    let mut samples = Vec::new();
    for page in 0..TITLE_PAGES {
        let (limit, offset) = (PAGE.to_string(), (page * PAGE).to_string());
        let pairs = [("sort", "price"), ("limit", &limit), ("offset", &offset)];
        let request = client.query(&["v1", "products", "search"], &pairs);
        let answer = client.send(request).await?;
        let results: Results = answer.expect(StatusCode::OK, "reading titles")?;
        for item in results.items {
            let words = item
                .title
                .split(|letter: char| !letter.is_alphanumeric())
                .filter(|word| word.chars().count() >= WORD_CHARS_MIN);
            let words: Vec<String> = words.map(str::to_lowercase).collect();
            if words.len() >= 2 {
                samples.push(Sample { words, price: item.price.amount });
            }
        }
        progress.step();
        if results.total <= (page + 1) * PAGE {
            break;
        }
    }
    progress.finish();
    Ok(samples)
}

fn question(kind: Kind, sample: &Sample, random: &mut StdRng) -> Vec<(&'static str, String)> {
    let first = random.random_range(0..sample.words.len() - 1);
    let second = random.random_range(first + 1..sample.words.len());
    let (one, two) = (&sample.words[first], &sample.words[second]);
    let query = match kind {
        Kind::TwoWords | Kind::Facets => format!("{one} {two}"),
        Kind::OneMisspelled => format!("{} {two}", misspelled(one, random)),
        Kind::Suggest => one.chars().take(TYPED_CHARS).collect(),
    };
    let mut pairs = vec![("q", query)];
    if matches!(kind, Kind::Facets) {
        pairs.push(("facets", "brand,category,price".into()));
        pairs.push(("price_min", (sample.price / 2).to_string()));
        pairs.push(("price_max", (sample.price * 2).to_string()));
    }
    pairs
}

/// A word with one letter left out.
fn misspelled(word: &str, random: &mut StdRng) -> String {
    let out = random.random_range(1..word.chars().count());
    let letters = word.chars().enumerate().filter(|(place, _)| *place != out);
    letters.map(|(_, letter)| letter).collect()
}

fn show(figures: &[Figures], seed: u64) -> ReportTable {
    let mut table = ReportTable::default();
    for figures in figures {
        table.section(figures.kind);
        if let Some(service) = &figures.at_the_service {
            table.line(format!("at the service  {}", line(service)));
        }
        table.line(format!("at the client   {}", line(&figures.at_the_client)));
    }
    table.line(format!("seed {seed}"));
    table
}
