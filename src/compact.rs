//! `konbini compact`: writes the stores of services at rest anew, without dead weight.
//!
//! **Invariant:** a store is exchanged for its copy only once that is complete, so a command
//! that is killed leaves every service as it was, or compacted.

use anyhow::{Context, bail};
use chassis::Folder;
use clap::Args;
use indicatif::HumanBytes;
use mesh::store::{self, Compacted, Options};
use serde_json::json;

use crate::output;
use crate::positions::with_data;
use crate::service_name::ServiceName;
use crate::shop::{ShopArgs, check_owner};
use crate::table::{Column, OutputFormat, OutputTable};

const COLUMNS: &[Column] = &[("SERVICE", 13), ("ROWS", 10), ("BEFORE", 12), ("AFTER", 12)];

/// Make the data of a shop at rest smaller, and its start faster.
///
/// The database of each service, or of one, is written anew without what it holds beside its
/// rows. The service must not be running. It needs as much free space on the disk as the
/// largest database takes, and can be cut off at any moment.
#[derive(Debug, Args)]
pub(crate) struct Compact {
    /// The service to compact [default: all]
    service: Option<ServiceName>,
    #[command(flatten)]
    shop: ShopArgs,
    /// Print a JSON document for each service.
    #[arg(long)]
    json: bool,
}

/// Compacts the services and prints the sizes before and after.
pub(crate) async fn compact(compact: Compact) -> anyhow::Result<()> {
    let (folder, _) = compact.shop.open("warn", None)?;
    check_owner(&folder)?;
    let is_meant = |one: &ServiceName| compact.service.is_none_or(|meant| meant == *one);
    let services: Vec<_> = with_data(&folder).filter(is_meant).collect();
    if let (Some(service), true) = (compact.service, services.is_empty()) {
        bail!("{} has no data in this folder", service.name());
    }
    // All of them, before the first is touched.
    services
        .iter()
        .try_for_each(|one| require_rest(&folder, *one))?;
    let format = OutputFormat::by_flag(compact.json);
    let mut table = OutputTable::new(COLUMNS, format);
    for service in services {
        let Compacted { rows, bytes_before, bytes_after } = compact_one(&folder, service).await?;
        let document = json!({
            "service": service.name(),
            "rows": rows,
            "bytes_before": bytes_before,
            "bytes_after": bytes_after,
        });
        table.row(&document, |_| {
            vec![
                service.name().to_owned(),
                rows.to_string(),
                HumanBytes(bytes_before).to_string(),
                HumanBytes(bytes_after).to_string(),
            ]
        })?;
    }
    Ok(())
}

fn require_rest(folder: &Folder, service: ServiceName) -> anyhow::Result<()> {
    let store = folder.path().join(service.name()).join("store");
    if store::is_open(&store)? {
        bail!(
            "{} is running; stop the shop first (`systemctl stop konbini.target`, or end `konbini up`), and start it again afterwards",
            service.name()
        );
    }
    Ok(())
}

async fn compact_one(folder: &Folder, service: ServiceName) -> anyhow::Result<Compacted> {
    let store = folder.path().join(service.name()).join("store");
    let bar = output::progress_bar(output::ROWS_BAR, service.name(), 0);
    let moved = bar.clone();
    let compacted = tokio::task::spawn_blocking(move || {
        store::compact(&store, &Options::default(), |copied, all| {
            moved.set_length(all.max(copied));
            moved.set_position(copied);
        })
    });
    let compacted = compacted.await?;
    bar.finish_and_clear();
    compacted.with_context(|| format!("{} was left as it was", service.name()))
}
