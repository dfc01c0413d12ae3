//! A mix of operations: what people do in a shop, by shares, over products of unequal
//! popularity.
//!
//! Each worker is a customer with a cart of its own. The choices follow from a fixed seed, so
//! that runs can be compared.
//!
//! **Invariant:** no operation needs a response that another worker waits for.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, ensure};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use serde::Deserialize;

use crate::load::{Items, Judgement, LoadOperation, LoadRequest, Requests};
use crate::search::{QueryKind, TitleSample, question};
use crate::shop::AccountTokens;

/// The mix of a shop, which is used unless another is named.
const SHOP: &str = include_str!("../mixes/shop.toml");
const PRODUCTS_MAX: u32 = 1_000_000;

/// A file of `bench/mixes`, which says what its fields mean.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mix {
    pub(crate) zipf: f64,
    pub(crate) products: u32,
    operations: Shares,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Shares {
    browse: u32,
    list: u32,
    search: u32,
    suggest: u32,
    account: u32,
    cart: u32,
    checkout: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MixOperation {
    Browse,
    List,
    Search,
    Suggest,
    Account,
    Cart,
    Checkout,
}

impl Mix {
    /// Reads the file, or the mix of a shop.
    pub(crate) fn read(file: Option<&Path>) -> anyhow::Result<Self> {
        let Some(file) = file else {
            return Self::parse(SHOP);
        };
        let shown = file.display();
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {shown}"))?;
        Self::parse(&text).with_context(|| format!("in {shown}"))
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let mix: Self = toml::from_str(text)?;
        ensure!(
            !mix.shares().is_empty(),
            "every share of the operations is 0"
        );
        ensure!((0.0..=5.0).contains(&mix.zipf), "zipf is between 0 and 5");
        ensure!(
            (1..=PRODUCTS_MAX).contains(&mix.products),
            "products are 1 to {PRODUCTS_MAX}"
        );
        Ok(mix)
    }

    /// The operations that have a share, by name.
    fn shares(&self) -> Vec<(MixOperation, &'static str, u32)> {
        let Shares { browse, list, search, suggest, account, cart, checkout } = self.operations;
        let mut shares = vec![
            (MixOperation::Browse, "browse", browse),
            (MixOperation::List, "list", list),
            (MixOperation::Search, "search", search),
            (MixOperation::Suggest, "suggest", suggest),
            (MixOperation::Account, "account", account),
            (MixOperation::Cart, "cart", cart),
            (MixOperation::Checkout, "checkout", checkout),
        ];
        shares.retain(|(_, _, share)| *share > 0);
        shares
    }
}

/// Indices with weights.
#[derive(Clone)]
struct Weighted {
    /// The weights up to each index, and its own.
    sums: Vec<f64>,
}

impl Weighted {
    fn new(weights: impl Iterator<Item = f64>) -> Self {
        let sum = |sum: &mut f64, weight: f64| {
            *sum += weight;
            Some(*sum)
        };
        Self { sums: weights.scan(0.0, sum).collect() }
    }

    /// Ranks by Zipf's law: the k-th is asked for in proportion to `k^-exponent`.
    fn zipf(count: usize, exponent: f64) -> Self {
        Self::new((1..=count).map(|rank| (rank as f64).powf(-exponent)))
    }

    fn choose(&self, rng: &mut StdRng) -> usize {
        let all = self.sums.last().copied().unwrap_or_default();
        let at = rng.random_range(0.0..1.0) * all;
        let index = self.sums.partition_point(|sum| *sum <= at);
        // A product of a share below 1 may still round up to the sum.
        index.min(self.sums.len().saturating_sub(1))
    }
}

/// The requests of a mix.
pub(crate) struct MixRequests {
    operations: Vec<(MixOperation, &'static str)>,
    shares: Weighted,
    /// The most popular first.
    products: Vec<String>,
    popularity: Weighted,
    samples: Vec<TitleSample>,
    asked: Weighted,
    tokens: AccountTokens,
    /// The path of each worker's cart.
    carts: Vec<Option<String>>,
    rng: StdRng,
    /// Makes this run's keys its own.
    run: u32,
    number: u64,
}

impl MixRequests {
    /// A mix over these products and titles, by customers of which each worker is one.
    pub(crate) fn new(
        mix: &Mix,
        mut products: Vec<String>,
        samples: Vec<TitleSample>,
        tokens: AccountTokens,
    ) -> Self {
        let mut rng = StdRng::seed_from_u64(1);
        // Popular products do not lie together.
        products.shuffle(&mut rng);
        let shares = mix.shares();
        Self {
            operations: shares
                .iter()
                .map(|(operation, name, _)| (*operation, *name))
                .collect(),
            shares: Weighted::new(shares.iter().map(|(_, _, share)| f64::from(*share))),
            popularity: Weighted::zipf(products.len(), mix.zipf),
            asked: Weighted::zipf(samples.len(), mix.zipf),
            carts: vec![None; tokens.len()],
            products,
            samples,
            tokens,
            rng,
            run: rand::random(),
            number: 0,
        }
    }

    fn search(&mut self, kind: QueryKind, path: &str, request: &mut LoadRequest) {
        let sample = &self.samples[self.asked.choose(&mut self.rng)];
        let pairs = question(kind, sample, &mut self.rng);
        request.get(path);
        request.query(pairs.iter().map(|(name, value)| (*name, value.as_str())));
    }
}

impl Requests for MixRequests {
    fn kinds(&self) -> Vec<String> {
        self.operations
            .iter()
            .map(|(_, name)| (*name).to_owned())
            .collect()
    }

    fn next(&mut self, worker: usize, request: &mut LoadRequest) -> Option<usize> {
        let kind = self.shares.choose(&mut self.rng);
        let product = self.popularity.choose(&mut self.rng);
        let items = [(self.products[product].as_str(), 1)];
        let token = self.tokens.get(worker);
        match self.operations[kind].0 {
            MixOperation::Browse => {
                request.get(&format!("/v1/products/{}", self.products[product]));
            }
            MixOperation::List => {
                request.get("/v1/products");
            }
            MixOperation::Search => {
                self.search(QueryKind::TwoWords, "/v1/products/search", request);
            }
            MixOperation::Suggest => {
                self.search(QueryKind::Suggest, "/v1/products/suggest", request);
            }
            MixOperation::Account => {
                request.get("/v1/users/me").bearer(&token);
            }
            MixOperation::Cart => {
                match &self.carts[worker] {
                    Some(cart) => {
                        let item = items[0].0;
                        let body = format_args!(r#"{{"product_id":"{item}","quantity":1}}"#);
                        request.post(&format!("{cart}/items"), body)
                    }
                    None => request.post("/v1/carts", format_args!("{}", Items(&items))),
                };
                request.bearer(&token);
            }
            MixOperation::Checkout => {
                match self.carts[worker].take() {
                    Some(cart) => request
                        .post(&format!("{cart}/complete"), format_args!("{{}}"))
                        .bearer(&token),
                    None => request.order(&token, &items),
                };
                let (run, number) = (self.run, self.number);
                let key = write!(request.fields, "idempotency-key: {run:08x}-{number}\r\n");
                key.expect("a String takes any text");
                self.number += 1;
            }
        }
        Some(kind)
    }

    fn judge(&mut self, operation: &LoadOperation<'_>) -> Judgement {
        let is_cart = self.operations[operation.kind].0 == MixOperation::Cart;
        let cart = &mut self.carts[operation.worker];
        if !(200..300).contains(&operation.status()) {
            // Whatever became of the cart, the next one is another.
            *cart = None;
            return Judgement::Failed;
        }
        let location = operation
            .response
            .as_ref()
            .ok()
            .and_then(|response| response.location);
        if let (true, Some(location)) = (is_cart, location) {
            *cart = Some(location.to_owned());
        }
        Judgement::Expected
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mix_of_a_shop_has_its_shares() {
        let mix = Mix::parse(SHOP).unwrap();
        let shares = mix.shares();
        let shares: Vec<_> = shares
            .iter()
            .map(|(_, name, share)| (*name, *share))
            .collect();
        let expected = [
            ("browse", 70),
            ("search", 15),
            ("cart", 10),
            ("checkout", 5),
        ];
        assert_eq!((shares, mix.zipf), (expected.to_vec(), 0.99));
        for wrong in [
            "zipf = 1\nproducts = 10\n[operations]\nbrowse = 0",
            "zipf = 1\nproducts = 0\n[operations]\nbrowse = 1",
            "zipf = 1\nproducts = 10\n[operations]\nlook = 1",
        ] {
            assert!(Mix::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn popular_products_are_chosen_by_zipf_s_law() {
        let (weighted, mut rng) = (Weighted::zipf(1_000, 1.0), StdRng::seed_from_u64(1));
        let mut counts = vec![0_u32; 1_000];
        for _ in 0..100_000 {
            counts[weighted.choose(&mut rng)] += 1;
        }
        // The harmonic number of 1,000 is 7.485.
        let expected = 100_000.0 / 7.485;
        for (rank, tolerance) in [(1, 0.05), (2, 0.05), (10, 0.1)] {
            let share = f64::from(counts[rank - 1]) * rank as f64 / expected;
            assert!((share - 1.0).abs() < tolerance, "rank {rank}: {share}");
        }
        let alike = Weighted::zipf(2, 0.0);
        let first = (0..10_000).filter(|_| alike.choose(&mut rng) == 0).count();
        assert!(first.abs_diff(5_000) < 200, "{first}");
    }
}
