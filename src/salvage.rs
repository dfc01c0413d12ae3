//! `konbini salvage`: goes on with what reads of a damaged service.
//!
//! A service whose files are damaged does not start. Without a copy of its data, this command
//! makes a new store of the rows that read, and says which do not. Services that know events
//! that are lost stop following it until the rollback is accepted.
//!
//! **Invariant:** the damaged store stays beside the new one, in `store.damaged`.

use std::path::Path;

use anyhow::{Context, bail};
use clap::Args;
use mesh::SalvagedService;
use owo_colors::OwoColorize;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use serde_json::json;

use crate::output;
use crate::service_name::ServiceName;
use crate::shop::{ShopArgs, check_owner};
use crate::table::print_json;

/// Go on with what reads of a service whose data is damaged, when there is no copy of it.
///
/// The service must not be running. All of its rows that read are written to a new store, and
/// what does not read is listed; the damaged store is kept in the folder SERVICE/store.damaged.
/// Afterwards `konbini check` compares the services, and `konbini accept-rollback` goes on
/// without events that are lost.
#[derive(Debug, Args)]
pub(crate) struct Salvage {
    /// The damaged service.
    service: ServiceName,
    #[command(flatten)]
    shop: ShopArgs,
    /// Print a JSON document.
    #[arg(long)]
    json: bool,
}

/// Salvages the service and prints what was lost.
pub(crate) async fn salvage(salvage: Salvage) -> anyhow::Result<()> {
    let (folder, _) = salvage.shop.open("warn", None)?;
    check_owner(&folder)?;
    let service = salvage.service.name();
    let data = folder.path().join(service);
    let (store, kept) = (data.join("store"), data.join("store.damaged"));
    let unfinished = data.join("store.salvaged");
    if !store.join("db").exists() {
        bail!("{}: there is no database to salvage", store.display());
    }
    if kept.exists() {
        bail!(
            "{}: it is of a salvage before; move it away first",
            kept.display()
        );
    }
    remove(&unfinished)?;
    let bar = output::progress_bar(output::ROWS_BAR, "reading", 0);
    let (from, into, moved) = (store.clone(), unfinished.clone(), bar.clone());
    let salvaged = tokio::task::spawn_blocking(move || {
        mesh::salvage(
            service,
            &from,
            &into,
            &mesh::store::Options::default(),
            |read, all| {
                moved.set_length(all.max(read));
                moved.set_position(read);
            },
        )
    });
    let salvaged = match salvaged.await? {
        Ok(salvaged) => begin_anew(&unfinished).await.map(|()| salvaged),
        Err(error) => Err(error),
    };
    bar.finish_and_clear();
    let salvaged = salvaged.inspect_err(|_| {
        // What is left of it is removed by the next salvage, too.
        let _ = remove(&unfinished);
    })?;
    put_in_place(&unfinished, &store, &kept).with_context(|| store.display().to_string())?;
    if salvage.json {
        return print_json(&json!({ "service": service, "salvaged": salvaged }));
    }
    report(service, &salvaged, &kept);
    Ok(())
}

/// What is made of rows, such as an index, is made anew of those that were read.
async fn begin_anew(folder: &Path) -> Result<(), mesh::store::Error> {
    let store = mesh::store::Store::open(folder, &mesh::store::Options::default())?;
    let begun = chassis::backfill::begin_anew(&store).await;
    store.close();
    begun
}

fn remove(folder: &Path) -> anyhow::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| folder.display().to_string())
        }
        _ => Ok(()),
    }
}

/// Puts a store in the place of another, which is kept. Without a store in its place, a
/// service would make an empty one, so both change places at once where the file system can.
fn put_in_place(new: &Path, place: &Path, kept: &Path) -> std::io::Result<()> {
    std::fs::rename(new, kept)?;
    match renameat_with(CWD, kept, CWD, place, RenameFlags::EXCHANGE) {
        Ok(()) => {}
        Err(Errno::INVAL | Errno::NOSYS | Errno::XDEV) => {
            std::fs::rename(kept, new)?;
            std::fs::rename(place, kept)?;
            std::fs::rename(new, place)?;
        }
        Err(error) => return Err(error.into()),
    }
    std::fs::File::open(place.parent().unwrap_or(place))?.sync_all()
}

fn report(service: &str, salvaged: &SalvagedService, kept: &Path) {
    let SalvagedService { store, log_end, events_deleted } = salvaged;
    for table in &store.tables {
        let lost = table.rows_expected.unwrap_or(0).saturating_sub(table.rows);
        if table.is_whole || (lost == 0 && !store.rows_known) {
            let known = if store.rows_known { "whole  " } else { "reads  " };
            output::line!("{} {}: {} rows", known.green(), table.name, table.rows);
            continue;
        }
        let missing = match lost {
            0 => "some are not as they were written".to_owned(),
            lost => format!("{lost} are missing"),
        };
        output::line!(
            "{} {}: {} rows; {missing}",
            "damaged".red(),
            table.name,
            table.rows
        );
        for fault in &table.faults {
            output::line!("        {fault}");
        }
    }
    if !store.rows_known {
        output::line!("        how many rows there should be is not known");
    }
    output::line!("        {} records of the journal on top", store.records);
    for fault in &store.journal_faults {
        output::line!("{} journal: {fault}", "damaged".red());
    }
    for fault in &store.disk_faults {
        output::line!("{} disk: {fault}", "damaged".red());
    }
    match events_deleted {
        0 => output::line!("        log: up to event {log_end}"),
        deleted => output::line!(
            "{} log: up to event {log_end}; {deleted} later events were not connected with it and are gone",
            "damaged".red()
        ),
    }
    output::line!(
        "{} goes on with this; the damaged store is kept in {}",
        service.bold(),
        kept.display()
    );
    output::line!(
        "next: `konbini check`, and `konbini accept-rollback {service}` if other services know more of it"
    );
}
