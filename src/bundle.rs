//! `konbini support-bundle`: one file with what somebody needs who helps with a shop, and with
//! nothing of its customers.
//!
//! | module | holds |
//! | --- | --- |
//! | `parts` | what is in it |
//! | `scrub` | removing addresses, tokens and ids of people from texts |
//!
//! **Invariant:** every text passes [`scrub`] before it is written, whatever its source.

mod parts;
mod scrub;

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use indicatif::HumanBytes;
use model::Time;
use owo_colors::OwoColorize;
use serde_json::json;

use self::parts::BundlePart;
use crate::output;
use crate::shop::ServeArgs;
use crate::table::print_json;

/// zstd's own default.
const LEVEL: i32 = 3;

/// Write a file for somebody who helps with the shop, and list what is in it.
///
/// It has versions, settings without secrets, the status of every service, what `konbini
/// doctor` finds, metrics, lines of the journal, sizes of files and tables, and the last
/// events without ids of people. E-mail addresses, tokens and keys are removed from every
/// text. It is a .tar.zst: `tar --zstd -xf FILE` unpacks it.
#[derive(Debug, Args)]
pub(crate) struct SupportBundle {
    /// The file [default: konbini-support-TIME.tar.zst in this folder].
    file: Option<PathBuf>,
    #[command(flatten)]
    serve: ServeArgs,
    /// Add what `konbini check` finds. A shop at rest is checked without this, too.
    #[arg(long)]
    check: bool,
    /// Print a JSON document.
    #[arg(long)]
    json: bool,
}

/// Writes the file, and prints what is in it.
pub(crate) async fn write(bundle: SupportBundle) -> anyhow::Result<()> {
    let folder = bundle.serve.shop.folder("off")?;
    let now = model::now();
    let path = bundle.file.unwrap_or_else(|| default_name(now).into());
    let mut parts = parts::collect(&folder, &bundle.serve, bundle.check).await;
    for part in &mut parts {
        part.text = scrub::scrub(&part.text);
    }
    parts.insert(0, contents(&parts));
    archive(&path, &parts, now).with_context(|| path.display().to_string())?;
    if bundle.json {
        let listed = parts.iter().map(
            |part| json!({ "name": part.name, "about": part.about, "bytes": part.text.len() }),
        );
        let listed: Vec<_> = listed.collect();
        return print_json(&json!({ "path": path, "contents": listed }));
    }
    for part in &parts {
        let size = HumanBytes(part.text.len() as u64).to_string();
        output::line!("  {:<16} {size:>11}  {}", part.name, part.about);
    }
    output::line!("{} {}", "wrote".green(), path.display());
    Ok(())
}

/// `konbini-support-20261130T104500Z.tar.zst`
fn default_name(now: Time) -> String {
    let moment = now.to_string();
    let (seconds, _) = moment.split_once('.').unwrap_or((&moment, ""));
    let compact: String = seconds
        .chars()
        .filter(|sign| !"-:".contains(*sign))
        .collect();
    format!("konbini-support-{compact}Z.tar.zst")
}

/// The first file: what the others are.
fn contents(parts: &[BundlePart]) -> BundlePart {
    let mut text = String::from(
        "What konbini support-bundle collected. Ids of people, e-mail addresses, tokens and keys\n\
         are removed from every file; ids of products, orders and events are not.\n\n",
    );
    for part in parts {
        text.push_str(&format!("{:<16} {}\n", part.name, part.about));
    }
    BundlePart { name: "README".into(), about: "what is in this file", text }
}

fn archive(path: &Path, parts: &[BundlePart], now: Time) -> std::io::Result<()> {
    // Readable to its owner alone, who decides to whom it goes; no other file is replaced.
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    let mut archive = tar::Builder::new(zstd::Encoder::new(file, LEVEL)?);
    for BundlePart { name, text, .. } in parts {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(u64::try_from(now.0 / 1_000).unwrap_or(0));
        let name = format!("konbini-support/{name}");
        archive.append_data(&mut header, name, text.as_bytes())?;
    }
    let mut file = archive.into_inner()?.finish()?;
    file.flush()
}
