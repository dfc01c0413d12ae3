//! `konbini-bench vary`: a catalogue made as large as wanted out of a real one.
//!
//! Every product is a real one; those beyond the file's own have another SKU,
//! other numbers, a word from another title and another price, so that an index
//! of them has the words and the numbers of a real shop of that size.
//!
//! **Invariant:** the same file, count and seed give the same bytes.

use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Map, Value, json};

use crate::catalogue::Catalogue;
use crate::json_lines::JsonLines;

/// A price varies by this much, in hundredths.
const PRICE_PERCENT: std::ops::Range<u64> = 60..160;

/// Write a catalogue of any size, in the shop's own format, to standard output.
///
/// FILE is any kind of catalogue that `import` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The real catalogue, .jsonl or .jsonl.xz.
    file: PathBuf,

    /// Products to write.
    #[arg(long, default_value_t = 100_000)]
    count: usize,

    /// Pieces of every product.
    #[arg(long, default_value_t = 100)]
    stock: u64,

    /// Of the variation.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let (lines, progress) = JsonLines::open(&args.file, "reading")?;
    let mut catalogue = None;
    let mut products: Vec<Map<String, Value>> = Vec::new();
    for line in lines {
        let line = line?;
        let kind = match catalogue {
            Some(kind) => kind,
            None => *catalogue.insert(Catalogue::recognise(&line)?),
        };
        let product = serde_json::from_slice(&kind.convert(line, args.stock));
        products.push(product.context("a line is not a product")?);
    }
    progress.finish();
    ensure!(
        !products.is_empty(),
        "{} has no products",
        args.file.display()
    );
    let mut random = StdRng::seed_from_u64(args.seed);
    let mut out = BufWriter::new(std::io::stdout().lock());
    for number in 0..args.count {
        let mut product = products[number % products.len()].clone();
        let round = number / products.len();
        if round > 0 {
            let other = &products[random.random_range(0..products.len())];
            let word = random_word(other, &mut random);
            vary(&mut product, round, word, &mut random);
        }
        serde_json::to_writer(&mut out, &product)?;
        out.write_all(b"\n")?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn random_word<'a>(product: &'a Map<String, Value>, random: &mut StdRng) -> &'a str {
    let title = product.get("title").and_then(Value::as_str).unwrap_or("");
    let words: Vec<&str> = title.split_whitespace().collect();
    if words.is_empty() {
        ""
    } else {
        words[random.random_range(0..words.len())]
    }
}

fn vary(product: &mut Map<String, Value>, round: usize, word: &str, random: &mut StdRng) {
    let sku = product
        .get("sku")
        .and_then(Value::as_str)
        .unwrap_or("")
        .to_owned();
    product.insert("sku".into(), json!(format!("{sku}-{round}")));
    let title = product.get("title").and_then(Value::as_str).unwrap_or("");
    let digits = title.chars().map(|letter| match letter {
        '0'..='9' => char::from(b'0' + random.random_range(0..10_u8)),
        _ => letter,
    });
    let title: String = digits
        .chain(" ".chars())
        .chain(word.chars())
        .take(300)
        .collect();
    product.insert("title".into(), json!(title.trim_end()));
    if let Some(amount) = product
        .get_mut("price")
        .and_then(|price| price.get_mut("amount"))
    {
        let varied = amount.as_u64().unwrap_or(0) * random.random_range(PRICE_PERCENT) / 100;
        *amount = json!(varied);
    }
}
