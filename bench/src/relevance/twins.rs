//! Spelling twins: whether the spellings of one word find the same products.
//!
//! The twins are made from the catalogue's own titles: a word with a hyphen is also
//! written without (`wi-fi`, `wifi`), a number and its unit with a blank and without
//! (`16 gb`, `16gb`). Every product whose title has one of the spellings is relevant to
//! each of them.
//!
//! **Invariant:** all relevant products count, however far down they are found.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use reqwest::StatusCode;
use serde::{Deserialize, Serialize};

use crate::client::ShopClient;
use crate::progress::PhaseProgress;
use crate::table::ReportTable;

/// Words of each kind, the most frequent ones.
const WORDS_MAX: usize = 100;
/// Products that a word has at least: fewer would say little.
const PRODUCTS_MIN: usize = 2;
/// The deepest position that a shop's search returns, and the items of a page.
const REACH: usize = 10_000;
const PAGE: usize = 100;
/// Letters of a unit.
const UNIT_CHARS_MAX: usize = 4;

/// The recall of each spelling.
#[derive(Default, Serialize)]
pub(super) struct TwinsReport {
    queries: usize,
    recall: f64,
    worst: Vec<TwinRecall>,
}

#[derive(Serialize)]
struct TwinRecall {
    query: String,
    relevant: usize,
    recall: f64,
}

#[derive(Deserialize)]
struct Product {
    id: String,
    title: String,
}

#[derive(Deserialize)]
struct Page {
    items: Vec<Product>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Results {
    total: usize,
    items: Vec<Found>,
}

#[derive(Deserialize)]
struct Found {
    id: String,
}

/// The spellings of a word and the products that have it.
#[derive(Default)]
struct Twins {
    spellings: BTreeSet<String>,
    products: BTreeSet<usize>,
}

/// Measures every spelling of the catalogue's most frequent twins.
pub(super) async fn run(client: &ShopClient) -> anyhow::Result<TwinsReport> {
    let products = published(client).await?;
    let titles: Vec<String> = products
        .iter()
        .map(|product| product.title.to_lowercase())
        .collect();
    let twins = twins(&titles);
    let progress = PhaseProgress::count("spelling twins", twins.len() as u64);
    let mut all = Vec::new();
    for Twins { spellings, products: relevant } in &twins {
        progress.step();
        let ids: HashSet<&str> = relevant
            .iter()
            .map(|place| products[*place].id.as_str())
            .collect();
        for query in spellings {
            let found = found(client, query, &ids).await?;
            let recall = found as f64 / ids.len() as f64;
            all.push(TwinRecall { query: query.clone(), relevant: ids.len(), recall });
        }
    }
    progress.finish();
    all.sort_by(|one, other| one.recall.total_cmp(&other.recall));
    let sum: f64 = all.iter().map(|twin| twin.recall).sum();
    let (queries, recall) = (all.len(), sum / all.len().max(1) as f64);
    all.truncate(WORDS_MAX / 4);
    Ok(TwinsReport { queries, recall, worst: all })
}

/// Every product that anyone may see.
async fn published(client: &ShopClient) -> anyhow::Result<Vec<Product>> {
    let (mut products, mut cursor) = (Vec::new(), Some(String::new()));
    let limit = PAGE.to_string();
    while let Some(from) = cursor {
        let mut pairs = vec![("limit", limit.as_str())];
        if !from.is_empty() {
            pairs.push(("cursor", &from));
        }
        let request = client.query(&["v1", "products"], &pairs);
        let page: Page = client
            .send(request)
            .await?
            .expect(StatusCode::OK, "reading titles")?;
        products.extend(page.items);
        cursor = page.next_cursor;
    }
    Ok(products)
}

/// How many of the relevant products a query finds.
async fn found(client: &ShopClient, query: &str, ids: &HashSet<&str>) -> anyhow::Result<usize> {
    let mut found = HashSet::new();
    for place in (0..REACH).step_by(PAGE) {
        let (limit, offset) = (PAGE.to_string(), place.to_string());
        let pairs = [("q", query), ("limit", &limit), ("offset", &offset)];
        let request = client.query(&["v1", "products", "search"], &pairs);
        let results: Results = client
            .send(request)
            .await?
            .expect(StatusCode::OK, "searching")?;
        let read = place + results.items.len();
        let items = results.items.into_iter().map(|item| item.id);
        found.extend(items.filter(|id| ids.contains(id.as_str())));
        if read >= results.total || found.len() == ids.len() {
            break;
        }
    }
    Ok(found.len())
}

/// The most frequent twins of lower-case titles.
fn twins(titles: &[String]) -> Vec<Twins> {
    let (mut hyphened, mut measured) = (BTreeMap::new(), BTreeMap::new());
    for (product, title) in titles.iter().enumerate() {
        let chunks = chunks(title);
        for (place, chunk) in chunks.iter().enumerate() {
            if let Some((one, other)) = chunk.split_once('-')
                && is_word(one)
                && is_word(other)
            {
                note(
                    &mut hyphened,
                    [format!("{one}-{other}"), format!("{one}{other}")],
                    product,
                );
            }
            let next = chunks.get(place + 1).copied().unwrap_or_default();
            let is_of_number = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'.' | b',');
            let digits = chunk.bytes().take_while(is_of_number).count();
            let (number, unit) = chunk.split_at(digits);
            let unit = if unit.is_empty() { next } else { unit };
            if digits > 0 && is_word(unit) && unit.len() <= UNIT_CHARS_MAX {
                note(
                    &mut measured,
                    [format!("{number} {unit}"), format!("{number}{unit}")],
                    product,
                );
            }
        }
    }
    // The joined spelling is relevant wherever it stands by itself.
    for (product, title) in titles.iter().enumerate() {
        for word in title.split(|letter: char| !letter.is_alphanumeric()) {
            if let Some(twins) = hyphened.get_mut(word) {
                twins.products.insert(product);
            }
        }
    }
    [hyphened, measured]
        .into_iter()
        .flat_map(most_frequent)
        .collect()
}

fn note(all: &mut BTreeMap<String, Twins>, spellings: [String; 2], product: usize) {
    let twins = all.entry(spellings[1].clone()).or_default();
    twins.spellings.extend(spellings);
    twins.products.insert(product);
}

fn most_frequent(all: BTreeMap<String, Twins>) -> Vec<Twins> {
    let mut all: Vec<Twins> = all.into_values().collect();
    all.retain(|twins| twins.products.len() >= PRODUCTS_MIN);
    all.sort_by_key(|twins| std::cmp::Reverse(twins.products.len()));
    all.truncate(WORDS_MAX);
    all
}

/// The words and numbers of a title, with their hyphens and decimal points.
fn chunks(title: &str) -> Vec<&str> {
    let digit_at = |at: usize| title.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
    let mut start = 0;
    let mut chunks = Vec::new();
    for (at, letter) in title.char_indices().chain([(title.len(), ' ')]) {
        let is_decimal =
            matches!(letter, '.' | ',') && at > 0 && digit_at(at - 1) && digit_at(at + 1);
        if !letter.is_alphanumeric() && letter != '-' && !is_decimal {
            chunks.push(&title[start..at]);
            start = at + letter.len_utf8();
        }
    }
    chunks
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(char::is_alphabetic)
}

/// Adds the figures to a report.
pub(super) fn show(report: &TwinsReport, table: &mut ReportTable, verbose: bool) {
    table
        .section("Spelling twins")
        .count("queries", report.queries as u64)
        .row("recall", format!("{:.3}", report.recall));
    if verbose {
        table.line("recall  relevant  query");
        for TwinRecall { query, relevant, recall } in &report.worst {
            table.line(format!("{recall:>6.2}  {relevant:>8}  {query}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twins_are_made_from_titles() {
        let titles = [
            "Wi-Fi router",
            "WiFi card 16GB",
            "Drive 16 GB",
            "Link 1.16 GB",
            "Lone-word",
        ];
        let titles: Vec<String> = titles.iter().map(|title| title.to_lowercase()).collect();
        let found: Vec<(Vec<String>, Vec<usize>)> = twins(&titles)
            .into_iter()
            .map(|twins| {
                (
                    twins.spellings.into_iter().collect(),
                    twins.products.into_iter().collect(),
                )
            })
            .collect();
        let spelled = |one: &str, other: &str| vec![one.to_owned(), other.to_owned()];
        assert_eq!(
            found,
            [
                (spelled("wi-fi", "wifi"), vec![0, 1]),
                (spelled("16 gb", "16gb"), vec![1, 2]),
            ]
        );
    }
}
