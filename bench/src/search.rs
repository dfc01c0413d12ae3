//! `konbini-bench search`: how long a shop takes to find things.
//!
//! The words are those of the catalogue's own titles, seeded, so a run can be
//! repeated. Each answer is timed twice: as the service says (`took_us`), and as
//! the client saw it.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::ensure;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::{StatusCode, Url};
use serde::{Deserialize, Serialize};

use crate::client::ShopClient;
use crate::cost::Subject;
use crate::load::{Judgement, LoadOperation, LoadOptions, LoadPlan, LoadRequest, Requests};
use crate::progress::PhaseProgress;
use crate::series::{QuantilesMs, Series};
use crate::table::{self, ReportTable};

const SEARCH: &str = "/v1/products/search";
const SUGGEST: &str = "/v1/products/suggest";
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

    /// Connections, each with one request under way.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    connections: u16,

    /// Of the choice of words.
    #[arg(long, default_value_t = 1)]
    seed: u64,

    #[command(flatten)]
    load: LoadOptions,

    /// Print the figures as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Deserialize)]
struct Results {
    total: usize,
    items: Vec<Item>,
}

/// How long a search took at the service; suggestions do not say.
#[derive(Deserialize)]
struct Took {
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
pub(crate) enum QueryKind {
    TwoWords,
    OneMisspelled,
    Facets,
    Suggest,
}

const KINDS: [(QueryKind, &str); 4] = [
    (QueryKind::TwoWords, "two words"),
    (QueryKind::OneMisspelled, "two words, one misspelled"),
    (QueryKind::Facets, "two words, 3 facets, price filter"),
    (QueryKind::Suggest, "suggestions"),
];

#[derive(Serialize)]
struct Figures {
    kind: String,
    at_the_service: Option<QuantilesMs>,
    at_the_client: QuantilesMs,
}

fn line(ms: &QuantilesMs) -> String {
    let QuantilesMs { p50, p90, p99, .. } = ms;
    format!("p50 {p50:6.2}   p90 {p90:6.2}   p99 {p99:6.2} ms")
}

/// A title's words and its product's price.
pub(crate) struct TitleSample {
    words: Vec<String>,
    price: i64,
}

impl TitleSample {
    /// The first two words, as a query.
    pub(crate) fn first_words(&self) -> String {
        self.words[..2].join(" ")
    }
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let client = ShopClient::new(args.url.clone())?;
    let samples = samples(&client).await?;
    ensure!(!samples.is_empty(), "the shop has no titles of two words");
    let target = args.load.send.target(client.base())?;
    let plan = LoadPlan {
        arrivals: args.load.arrivals()?,
        subject: Subject::of(client.base(), &[]),
        ..LoadPlan::closed(target, args.connections.into())
    };
    let (requests, measured) = plan.run(SearchRequests::new(samples, &args)?).await?;
    requests.progress.finish();
    measured.ensure_expected("searching")?;
    let result = measured.result("search", None);
    args.load.send.result.write(&[result])?;
    let loads = measured.loads.iter().zip(&requests.at_the_service);
    let figures = loads.map(|(load, service)| Figures {
        kind: load.kind.clone(),
        at_the_service: (service.count() > 0).then(|| service.quantiles()),
        at_the_client: load.response.quantiles(),
    });
    let figures: Vec<Figures> = figures.collect();
    table::print(args.json, &figures, || show(&figures, args.seed))?;
    Ok(ExitCode::SUCCESS)
}

/// So many requests of each kind, in turns.
struct SearchRequests {
    samples: Vec<TitleSample>,
    random: StdRng,
    left: u64,
    at_the_service: Vec<Series>,
    is_failed: bool,
    progress: PhaseProgress,
}

impl SearchRequests {
    fn new(samples: Vec<TitleSample>, args: &Args) -> anyhow::Result<Self> {
        let left = args.count * KINDS.len() as u64;
        Ok(Self {
            samples,
            random: StdRng::seed_from_u64(args.seed),
            left,
            at_the_service: KINDS
                .iter()
                .map(|_| Series::new())
                .collect::<Result<_, _>>()?,
            is_failed: false,
            progress: PhaseProgress::count("searching", left),
        })
    }
}

impl Requests for SearchRequests {
    fn kinds(&self) -> Vec<String> {
        KINDS.iter().map(|(_, name)| (*name).to_owned()).collect()
    }

    fn next(&mut self, _worker: usize, request: &mut LoadRequest) -> Option<usize> {
        self.left = self.left.checked_sub(1).filter(|_| !self.is_failed)?;
        let number = self.left as usize % KINDS.len();
        let (kind, _) = KINDS[number];
        let sample = &self.samples[self.random.random_range(0..self.samples.len())];
        let is_suggest = matches!(kind, QueryKind::Suggest);
        request.get(if is_suggest { SUGGEST } else { SEARCH });
        let pairs = question(kind, sample, &mut self.random);
        request.query(pairs.iter().map(|(name, value)| (*name, value.as_str())));
        Some(number)
    }

    fn judge(&mut self, operation: &LoadOperation<'_>) -> Judgement {
        self.progress.step();
        let response = operation.response.as_ref().ok();
        let Some(response) = response.filter(|response| response.status == 200) else {
            self.is_failed = true;
            return Judgement::Failed;
        };
        if let Some(took) = response.json::<Took>() {
            let took = Duration::from_micros(took.took_us);
            self.at_the_service[operation.kind].record_lasting(took);
        }
        Judgement::Expected
    }
}

/// How many products a search for everything finds.
pub(crate) async fn count_titles(client: &ShopClient) -> anyhow::Result<usize> {
    let request = client.query(&["v1", "products", "search"], &[("limit", "1")]);
    let answer = client.send(request).await?;
    let results: Results = answer.expect(StatusCode::OK, "counting titles")?;
    Ok(results.total)
}

/// The words of the shop's titles of two words or more.
pub(crate) async fn samples(client: &ShopClient) -> anyhow::Result<Vec<TitleSample>> {
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
                samples.push(TitleSample { words, price: item.price.amount });
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

/// The query of a kind, about a product.
pub(crate) fn question(
    kind: QueryKind,
    sample: &TitleSample,
    random: &mut StdRng,
) -> Vec<(&'static str, String)> {
    let first = random.random_range(0..sample.words.len() - 1);
    let second = random.random_range(first + 1..sample.words.len());
    let (one, two) = (&sample.words[first], &sample.words[second]);
    let query = match kind {
        QueryKind::TwoWords | QueryKind::Facets => format!("{one} {two}"),
        QueryKind::OneMisspelled => format!("{} {two}", misspelled(one, random)),
        QueryKind::Suggest => one.chars().take(TYPED_CHARS).collect(),
    };
    let mut pairs = vec![("q", query)];
    if matches!(kind, QueryKind::Facets) {
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
        table.section(&figures.kind);
        if let Some(service) = &figures.at_the_service {
            table.line(format!("at the service  {}", line(service)));
        }
        table.line(format!("at the client   {}", line(&figures.at_the_client)));
    }
    table.line(format!("seed {seed}"));
    table
}
