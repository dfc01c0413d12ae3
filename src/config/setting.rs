//! The value that a layer gives one setting, its origin, and its faults.

use std::fmt;

use toml::{Table, Value};

use super::ShopConfig;

/// What gives a setting its value, in the order in which faults are listed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SettingOrigin {
    /// This line of the file.
    Line(usize),
    /// This variable of the environment.
    Variable(String),
    /// The argument `--listen`, or its variable.
    Argument,
    /// The profile.
    Profile,
    /// No layer.
    Default,
}

/// The value that one layer gives a setting.
pub(super) struct GivenSetting {
    pub(super) name: String,
    pub(super) value: Value,
    pub(super) origin: SettingOrigin,
}

/// A fault of the settings.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SettingFault {
    pub(crate) origin: SettingOrigin,
    /// The setting's name; empty where the fault is not one setting's.
    pub(crate) setting: String,
    pub(crate) why: String,
}

impl fmt::Display for SettingFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            SettingOrigin::Line(line) => write!(f, "line {line}: ")?,
            SettingOrigin::Variable(name) => return write!(f, "{name}: {}", self.why),
            SettingOrigin::Argument => write!(f, "--listen: ")?,
            SettingOrigin::Profile => write!(f, "profile: ")?,
            SettingOrigin::Default => {}
        }
        match self.setting.as_str() {
            "" => f.write_str(&self.why),
            setting => write!(f, "{setting}: {}", self.why),
        }
    }
}

/// Checks a value by itself.
///
/// # Errors
/// Why it is none of that setting.
pub(super) fn accepts(name: &str, value: &Value) -> Result<(), String> {
    let mut table = Table::new();
    insert(&mut table, name, value.clone());
    let checked = table.try_into::<ShopConfig>().map(drop);
    checked.map_err(|error| without_secrets(error.message()))
}

/// Sets a value at a path of tables.
pub(super) fn insert(table: &mut Table, name: &str, value: Value) {
    match name.split_once('.') {
        None => drop(table.insert(name.to_owned(), value)),
        Some((section, rest)) => {
            let inner = table.entry(section).or_insert_with(|| Table::new().into());
            if let Value::Table(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

/// An error of serde quotes the value, which may be a secret in the wrong place.
fn without_secrets(why: &str) -> String {
    match why.find("whsec_") {
        None => why.to_owned(),
        Some(start) => {
            let end = why[start..].find('"').map_or(why.len(), |end| start + end);
            format!("{}(a secret){}", &why[..start], &why[end..])
        }
    }
}
