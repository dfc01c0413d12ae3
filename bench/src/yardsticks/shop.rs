//! The shop itself: the operations that the others are yardsticks for.

use anyhow::Context;
use reqwest::Url;

use super::{Measurement, SameRequest, YardstickRow};
use crate::client::ShopClient;
use crate::cost::Subject;
use crate::hardware::OwnShopArgs;
use crate::hosted::HostedShop;
use crate::load::{LoadRequest, Requests};
use crate::search::{self, TitleSample};

/// A page of the shop that its gateway caches.
const CACHED_PAGE: &str = "/v1/products?limit=1";

/// Orders, a cached page and searches, over one connection and over many.
pub(super) async fn measure(measurement: &Measurement<'_>) -> anyhow::Result<Vec<YardstickRow>> {
    let binary = measurement.args.binary.clone();
    let mut shop = HostedShop::open(&OwnShopArgs { binary, ..Default::default() }).await?;
    let file = measurement.folder.join("orders.json");
    let mut rows = Vec::new();
    for connections in measurement.connections() {
        let (clients, seconds) = (connections, measurement.args.seconds);
        let scenario = format!("orders --clients {clients} --seconds {seconds}");
        let scenario: Vec<String> = scenario.split(' ').map(str::to_owned).collect();
        let finished = shop.run(&scenario, &file).await?;
        let run = finished.runs.first();
        let run = run.with_context(|| finished.last_lines())?;
        rows.push(YardstickRow::of_run(
            "konbini",
            "order of one line, stock held",
            run,
        )?);
    }
    let base = Url::parse(&format!("http://{}/", shop.address()))?;
    let subject = Subject::of(&base, &[]);
    let samples = search::samples(&ShopClient::new(base)?).await?;
    let queries: Vec<String> = samples.iter().map(TitleSample::first_words).collect();
    for connections in measurement.connections() {
        let plan = measurement.plan(shop.address(), &subject, connections);
        let page = SameRequest::get(CACHED_PAGE);
        let operation = "page from the gateway's cache";
        rows.push(YardstickRow::of_load("konbini", operation, plan.clone(), page).await?);
        let searches = UncachedSearches { queries: queries.clone(), next: 0 };
        let operation = "search for two words, uncached";
        rows.push(YardstickRow::of_load("konbini", operation, plan, searches).await?);
    }
    Ok(rows)
}

/// Searches for two words each, which no cache answers.
struct UncachedSearches {
    queries: Vec<String>,
    next: usize,
}

impl Requests for UncachedSearches {
    fn kinds(&self) -> Vec<String> {
        vec!["search".to_owned()]
    }

    fn next(&mut self, _worker: usize, request: &mut LoadRequest) -> Option<usize> {
        self.next = (self.next + 1) % self.queries.len();
        request.get("/v1/products/search");
        request.query([("q", self.queries[self.next].as_str())]);
        request.field("cache-control", "no-cache");
        Some(0)
    }
}
