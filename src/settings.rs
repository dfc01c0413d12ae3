//! `konbini config`: every setting with its origin, and every fault of the settings.
//!
//! **Invariant:** no secret is printed; settings serialize without them.

use std::path::Path;

use chassis::Folder;
use clap::Args;
use owo_colors::OwoColorize;
use serde_json::{Value, json};

use crate::config::{LayeredSettings, SettingFault, SettingOrigin, variable};
use crate::output;
use crate::shop::{ServeArgs, fault_in, refused};
use crate::table::{Column, OutputFormat, OutputTable, print_json};

/// Print every setting with its value and its origin: the default, a line of the file, a
/// variable, or an argument. Secrets are hidden.
#[derive(Debug, Args)]
pub(crate) struct PrintConfig {
    #[command(flatten)]
    serve: ServeArgs,
    /// Print only settings that are not at their defaults.
    #[arg(long)]
    changed: bool,
    /// Print one JSON document per line, one per setting.
    #[arg(long)]
    json: bool,
}

/// Check the settings and the files that they name, and print every fault with its place.
///
/// Reads the settings as a start would, and besides the certificates and their keys, the
/// password of the mail server, the payment secrets, and the templates. The exit code is 78
/// if there is a fault.
#[derive(Debug, Args)]
pub(crate) struct CheckConfig {
    #[command(flatten)]
    serve: ServeArgs,
    /// Print a JSON document.
    #[arg(long)]
    json: bool,
}

const COLUMNS: &[Column] = &[("SETTING", 42), ("VALUE", 30), ("FROM", 0)];

/// Prints the settings.
pub(crate) fn print(print: &PrintConfig) -> anyhow::Result<()> {
    let folder = print.serve.shop.folder("warn")?;
    let settings = print.serve.sources(&folder)?.read();
    let settings = settings.map_err(|faults| refused(&folder, &faults))?;
    let mut table = OutputTable::new(COLUMNS, OutputFormat::by_flag(print.json));
    for document in documents(&folder.config_file(), &settings) {
        if !print.changed || document["from"] != "default" {
            table.row(&document, row)?;
        }
    }
    Ok(())
}

/// Every setting as a document: its name, value, origin and variable.
pub(crate) fn documents(file: &Path, settings: &LayeredSettings) -> impl Iterator<Item = Value> {
    let file = file.display().to_string();
    settings.rows().map(move |(setting, value, origin)| {
        let variable = variable(&setting);
        let mut document = json!({ "setting": setting, "value": value, "variable": variable });
        match origin {
            SettingOrigin::Default => document["from"] = "default".into(),
            SettingOrigin::Profile => document["from"] = "profile".into(),
            SettingOrigin::Variable(_) => document["from"] = "variable".into(),
            SettingOrigin::Argument => document["from"] = "argument".into(),
            SettingOrigin::Line(line) => {
                document["from"] = "file".into();
                document["file"] = file.clone().into();
                document["line"] = line.into();
            }
        }
        document
    })
}

fn row(document: &Value) -> Vec<String> {
    let text = |name: &str| document[name].as_str().unwrap_or_default().to_owned();
    let from = match text("from").as_str() {
        "file" => format!("{}:{}", text("file"), document["line"]),
        "variable" => text("variable"),
        "argument" => "--listen, or KONBINI_LISTEN".to_owned(),
        from => from.to_owned(),
    };
    let value = match &document["value"] {
        Value::Null => "(none)".to_owned(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    };
    vec![text("setting"), value, from]
}

/// Checks the settings and prints every fault.
pub(crate) fn check(check: &CheckConfig) -> anyhow::Result<()> {
    let folder = check.serve.shop.folder("off")?;
    let faults = match check.serve.sources(&folder)?.read() {
        Ok(settings) => faults_of_files(&folder, &settings),
        Err(faults) => faults,
    };
    let file = folder.config_file();
    if check.json {
        let faults: Vec<_> = faults
            .iter()
            .map(|fault| document_of(&file, fault))
            .collect();
        print_json(&json!({ "faults": faults }))?;
    } else {
        for fault in &faults {
            output::line!("{} {}", "fault".red(), fault_in(&file, fault));
        }
        if faults.is_empty() {
            output::line!("{} {}", "ok".green(), file.display());
        }
    }
    match faults.len() {
        0 => Ok(()),
        1 => Err(chassis::Error::Config("the settings have a fault".into()).into()),
        count => Err(chassis::Error::Config(format!("the settings have {count} faults")).into()),
    }
}

fn document_of(file: &Path, fault: &SettingFault) -> Value {
    let mut document = json!({ "setting": fault.setting, "why": fault.why });
    match &fault.origin {
        SettingOrigin::Line(line) => {
            document["file"] = file.display().to_string().into();
            document["line"] = (*line).into();
        }
        SettingOrigin::Variable(name) => document["variable"] = name.as_str().into(),
        SettingOrigin::Argument | SettingOrigin::Profile | SettingOrigin::Default => {}
    }
    document
}

/// The faults of files that settings name, and of templates.
fn faults_of_files(folder: &Folder, settings: &LayeredSettings) -> Vec<SettingFault> {
    let found = settings.config.faults_of_files(folder);
    let faults = found.into_iter().map(|(setting, why)| {
        let origin = settings.origin_of(setting);
        SettingFault { origin, setting: setting.to_owned(), why }
    });
    faults.collect()
}
