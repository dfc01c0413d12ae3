//! The parts of a support bundle: one text of each source. A source that fails is a part with
//! its error, because that is what somebody who helps wants to see.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use chassis::Folder;
use serde::Serialize;
use serde_json::{Value, json};

use crate::backup::files_below;
use crate::service_name::ServiceName;
use crate::shop::ServeArgs;
use crate::status::ShopStatus;
use crate::{check, control, doctor, events, settings};

/// The events that are copied.
const EVENTS: u64 = 200;

/// The lines of the journal that are copied.
const JOURNAL_LINES: &str = "2000";

/// One file of a bundle.
pub(super) struct BundlePart {
    pub(super) name: String,
    pub(super) about: &'static str,
    pub(super) text: String,
}

impl BundlePart {
    fn new(name: &str, about: &'static str, text: String) -> Self {
        Self { name: name.to_owned(), about, text }
    }

    /// A document, or the reason why there is none.
    fn json(name: &str, about: &'static str, document: anyhow::Result<Value>) -> Self {
        let text = match document {
            Ok(document) => pretty(&document),
            Err(error) => format!("{error:#}\n"),
        };
        Self::new(name, about, text)
    }
}

fn pretty(document: &impl Serialize) -> String {
    let text = serde_json::to_string_pretty(document).unwrap_or_default();
    format!("{text}\n")
}

/// Collects every part. With `is_checked` the data is checked although the shop runs.
pub(super) async fn collect(
    folder: &Folder,
    serve: &ServeArgs,
    is_checked: bool,
) -> Vec<BundlePart> {
    let status = ShopStatus::read(folder).await;
    let mut parts = vec![
        BundlePart::new("versions", "of konbini and of this host", versions()),
        config(folder, serve),
        BundlePart::json("status.json", "of every service", Ok(status.document())),
    ];
    let found = doctor::examine(serve).await;
    let found = found.map(|found| doctor::document(&found));
    parts.push(BundlePart::json(
        "doctor.json",
        "what may hurt the shop on this host",
        found,
    ));
    if is_checked || !status.is_running() {
        let report = check::report(&serve.shop).await;
        parts.push(BundlePart::json(
            "check.json",
            "whether the data agrees with itself",
            report,
        ));
    }
    parts.push(BundlePart::new(
        "metrics",
        "of each running service, as Prometheus text",
        metrics(folder).await,
    ));
    parts.push(BundlePart::new(
        "journal",
        "the last lines of the units in the system's journal",
        journal(),
    ));
    parts.push(BundlePart::new(
        "files",
        "the sizes of the files in the data folder",
        files(folder.path()),
    ));
    parts.push(BundlePart::json(
        "tables.json",
        "the rows of each table at its last checkpoint",
        Ok(tables(folder).await),
    ));
    let last = events::last(folder, EVENTS).await;
    parts.push(BundlePart::new(
        "events.jsonl",
        "the last events: kinds, times, and ids of what they are about, without those of people",
        last.map_or_else(|error| format!("{error:#}\n"), |events| lines(&events)),
    ));
    parts
}

fn versions() -> String {
    let mut text = format!("konbini {}\n", env!("CARGO_PKG_VERSION"));
    for path in [
        "/proc/sys/kernel/ostype",
        "/proc/sys/kernel/osrelease",
        "/etc/os-release",
    ] {
        text.push_str(&fs::read_to_string(path).unwrap_or_default());
    }
    let _ = writeln!(text, "architecture {}", std::env::consts::ARCH);
    text
}

fn config(folder: &Folder, serve: &ServeArgs) -> BundlePart {
    let file = folder.config_file();
    let text = match serve.sources(folder).map(|sources| sources.read()) {
        Ok(Ok(settings)) => lines(&settings::documents(&file, &settings).collect::<Vec<_>>()),
        Ok(Err(faults)) => faults.iter().map(|fault| format!("{fault}\n")).collect(),
        Err(error) => format!("{error}\n"),
    };
    BundlePart::new(
        "config.jsonl",
        "every setting with its origin, without secrets",
        text,
    )
}

fn lines(documents: &[Value]) -> String {
    documents
        .iter()
        .map(|document| format!("{document}\n"))
        .collect()
}

async fn metrics(folder: &Folder) -> String {
    let mut text = String::new();
    for service in ServiceName::ALL {
        let socket = folder.control_socket(service.name());
        let page = control::text(&socket, "/metrics").await;
        let page = page.unwrap_or_else(|error| format!("# {error:#}\n"));
        let _ = writeln!(text, "# {}\n{page}", service.name());
    }
    text
}

fn journal() -> String {
    let arguments = [
        "--unit=konbini*",
        "--lines",
        JOURNAL_LINES,
        "--no-pager",
        "--output=short-iso",
    ];
    match Command::new("journalctl").args(arguments).output() {
        Ok(output) => {
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
        }
        Err(error) => format!("journalctl: {error}\n"),
    }
}

/// Each file's size in bytes and its path in the folder.
fn files(data: &Path) -> String {
    let names = match files_below(data) {
        Ok(names) => names,
        Err(error) => return format!("{error}\n"),
    };
    let mut text = String::new();
    for name in names {
        // A file of a running shop may be gone.
        let Ok(meta) = data.join(&name).symlink_metadata() else {
            continue;
        };
        let _ = writeln!(text, "{:>14}  {}", meta.len(), name.display());
    }
    text
}

async fn tables(folder: &Folder) -> Value {
    let mut all = serde_json::Map::new();
    for service in ServiceName::ALL {
        let socket = folder.control_socket(service.name());
        let counts = control::ask(&socket, hyper::Method::GET, "/control/tables").await;
        let counts = match counts.and_then(control::ControlResponse::accepted) {
            Ok(response) => response.body,
            Err(error) => json!(format!("{error:#}")),
        };
        all.insert(service.name().to_owned(), counts);
    }
    all.into()
}
