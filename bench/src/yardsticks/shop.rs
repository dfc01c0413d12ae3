//! The shop itself: the operations that the others are yardsticks for.

use std::time::Duration;

use anyhow::Context;
use reqwest::Url;

use super::{Args, WARM_UP, YardstickRow, pages};
use crate::client::ShopClient;
use crate::cost::Subject;
use crate::hosted::HostedShop;
use crate::load::{LoadPlan, LoadRequest, LoadTarget, Requests};
use crate::search::{self, TitleSample};

/// A page of the shop that its gateway caches.
const CACHED_PAGE: &str = "/v1/products?limit=1";

/// The operations of the shop that the others are yardsticks for.
pub(super) async fn measure(args: &Args) -> anyhow::Result<Vec<YardstickRow>> {
    let mut shop = HostedShop::open(&args.own_shop).await?;
    let file = tempfile::NamedTempFile::new()?;
    let (seconds, many) = (args.seconds.to_string(), args.connections.to_string());
    let mut rows = Vec::new();
    for (operation, scenario) in [
        (
            "order of one line, stock held",
            vec!["orders", "--clients", "1", "--seconds", &seconds],
        ),
        (
            "order of one line, stock held",
            vec!["orders", "--clients", &many, "--seconds", &seconds],
        ),
    ] {
        let scenario: Vec<String> = scenario.into_iter().map(str::to_owned).collect();
        let finished = shop.run(&scenario, file.path()).await?;
        let run = finished.runs.first();
        let run = run.with_context(|| finished.last_lines())?;
        rows.push(YardstickRow::of_run("konbini", operation, run)?);
    }
    let base = Url::parse(&format!("http://{}/", shop.address()))?;
    let subject = Subject::of(&base, &[]);
    let samples = search::samples(&ShopClient::new(base)?).await?;
    let queries: Vec<String> = samples.iter().map(TitleSample::first_words).collect();
    for connections in [1, args.connections] {
        let plan = LoadPlan {
            warm_up: WARM_UP,
            measured: Some(Duration::from_secs(args.seconds)),
            subject: subject.clone(),
            ..LoadPlan::closed(LoadTarget::plain(shop.address()), connections.into())
        };
        let cached = pages(
            "konbini",
            "page from the gateway's cache",
            CACHED_PAGE,
            plan.clone(),
        );
        rows.push(cached.await?);
        let searches = UncachedSearches { queries: queries.clone(), next: 0 };
        let (_, measured) = plan.run(searches).await?;
        measured.ensure_expected("searching")?;
        let run = measured.result("yardsticks", None);
        rows.push(YardstickRow::of_run(
            "konbini",
            "search for two words, uncached",
            &run,
        )?);
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
