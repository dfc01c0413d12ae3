//! What believing a token costs: one that was seen before, as on most requests,
//! and one that was not. `cargo bench -p chassis --bench verify`.

use std::hint::black_box;
use std::sync::OnceLock;
use std::time::Instant;

use axum::Router;
use chassis::{Context, Role, Trust};
use futures::FutureExt;
use model::Id;
use testkit::{TestService, claims};

/// As many as are remembered, and as many again.
const TOKENS: usize = 2 * chassis::limits::TOKENS_CACHED_MAX;
/// A crowd that is remembered in full.
const CROWD: usize = 1000;
const ROUNDS: usize = 500;

/// The trust of the service that was started.
static TRUST: OnceLock<Trust> = OnceLock::new();

fn open(context: Context, _: ()) -> chassis::Opening {
    let _ = TRUST.set(context.trust.clone());
    Box::pin(async move { Ok(context.serve(Router::new())) })
}

fn verified(trust: &Trust, token: &str) -> bool {
    let verdict = trust.verify(black_box(token), model::now()).now_or_never();
    verdict.is_some_and(|verdict| verdict.is_ok())
}

/// Nanoseconds a verification, one after the other.
fn measure(trust: &Trust, tokens: &[String], rounds: usize) -> u128 {
    let started = Instant::now();
    for _ in 0..rounds {
        for token in tokens {
            assert!(verified(trust, token), "every token is genuine");
        }
    }
    started.elapsed().as_nanos() / (rounds * tokens.len()) as u128
}

#[tokio::main]
async fn main() {
    let test = TestService::start("verify", open, &[]).await;
    let trust = TRUST.get().expect("the service was opened").clone();
    let now = model::now();
    let issue = |_| test.issue(&claims(Id::new(), &[Role::Customer], now));
    let tokens: Vec<_> = (0..TOKENS).map(issue).collect();
    // The first one waits until the key is known.
    let heard = trust.verify(&tokens[0], model::now()).await;
    heard.expect("the key is published");

    let full = measure(&trust, &tokens, 1);
    let (crowd, _) = tokens.split_at(CROWD);
    measure(&trust, crowd, 1);
    let cached = measure(&trust, crowd, ROUNDS);
    let started = Instant::now();
    let threads = 2;
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| measure(&trust, crowd, ROUNDS));
        }
    });
    let each = started.elapsed().as_nanos() / (ROUNDS * CROWD) as u128;
    println!("a token is {} bytes", tokens[0].len());
    println!("first time      {full:>8} ns");
    println!("seen before     {cached:>8} ns");
    println!("on {threads} threads    {each:>8} ns on each");
    test.finish().await;
}
