//! The audit: the shop's final state, read over HTTP and compared with the operations it
//! acknowledged.
//!
//! **Invariant:** every key was decided, so the acknowledged operations are all that may
//! have happened; any other state of an order, the stock or an inbox is a finding.

use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use reqwest::StatusCode;

use super::ledger::Ledger;
use super::observed::Observed;
use super::operation::{Action, Decision};
use super::verification::{PromiseVerdict, verify};
use super::workload::{DecidedOperation, Workload};
use crate::client::ShopClient;
use crate::progress::PhaseProgress;

/// Followers have caught up after the last restart by then.
const SETTLE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(250);
const AT_ONCE: usize = 16;

/// Sends every key once more, reads everything, and judges.
pub(super) async fn audit(
    client: &ShopClient,
    workload: &Workload,
) -> anyhow::Result<Vec<PromiseVerdict>> {
    let decided = workload.decided();
    let keys = replay(workload, &decided).await?;
    let ledger = Ledger::open(&workload.setup, &decided);
    let deadline = Instant::now() + SETTLE;
    loop {
        let observed = Observed::read(client, &workload.setup).await?;
        let mut verdicts = verify(&ledger, &observed);
        let is_clean = verdicts.iter().all(|verdict| verdict.findings.is_empty());
        // Followers may still be behind; a real fault stays.
        if is_clean || Instant::now() >= deadline {
            verdicts.insert(0, keys);
            return Ok(verdicts);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn replay(
    workload: &Workload,
    decided: &[DecidedOperation],
) -> anyhow::Result<PromiseVerdict> {
    let progress = &PhaseProgress::count("asking again", decided.len() as u64);
    let found: Vec<_> = stream::iter(decided)
        .map(|entry| async move {
            let (again, _) = entry.operation.done(&workload.setup).await?;
            progress.step();
            anyhow::Ok(differs(entry, &again))
        })
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    progress.finish();
    Ok(PromiseVerdict {
        promise: "each key led to one decision, replayed byte for byte",
        looked_at: decided.len() as u64,
        findings: found.into_iter().flatten().collect(),
    })
}

/// The difference between a key's first decision and its replay.
pub(super) fn differs(entry: &DecidedOperation, again: &Decision) -> Option<String> {
    let DecidedOperation { operation, decision: first } = entry;
    if first.status != again.status {
        let (was, is) = (first.status, again.status);
        return Some(format!(
            "{operation}: {was} was answered, {is} when asked again"
        ));
    }
    // What 202 accepted is answered as it is at the time.
    let is_same = if first.status == StatusCode::ACCEPTED {
        first.order() == again.order()
    } else {
        first.body == again.body
    };
    let text = |decision: &Decision| String::from_utf8_lossy(&decision.body).into_owned();
    if !is_same {
        let (was, is) = (text(first), text(again));
        return Some(format!(
            "{operation}: {was} was answered, {is} when asked again"
        ));
    }
    // The provider's messages have ids of their own, and no such field.
    let is_message = matches!(operation.action, Action::Receive(_));
    (!again.replayed && !is_message)
        .then(|| format!("{operation}: replayed without Idempotency-Replayed"))
}
