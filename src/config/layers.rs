//! The layers of the settings: defaults < profile < file < environment < command line.
//!
//! Each layer gives values to settings by their names; the last one counts, and its origin is
//! kept. **Invariant:** every value is checked by itself, whatever another layer says, so that
//! all faults are found at once; rules between settings are checked on the whole.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;

use garde::Validate;
use serde_json::Value as Json;
use toml::Table;

use super::names::{SettingNames, flattened, is_below};
use super::setting::{GivenSetting, SettingFault, SettingOrigin, accepts, insert};
use super::{ShopConfig, environment, file, profile};

/// All layers above the defaults. Without `Debug`, because they may hold secrets.
#[derive(Default)]
pub(crate) struct SettingSources {
    /// The content of the file.
    pub(crate) file: Vec<u8>,
    /// Variables of the environment.
    pub(crate) variables: Vec<(OsString, OsString)>,
    /// The names of variables that are arguments and no settings.
    pub(crate) arguments: Vec<String>,
    /// `gateway.listen`, by the command line.
    pub(crate) listen: Option<SocketAddr>,
}

/// Settings, with the origin of each that is no default.
#[derive(Debug)]
pub(crate) struct LayeredSettings {
    pub(crate) config: ShopConfig,
    origins: BTreeMap<String, SettingOrigin>,
}

impl LayeredSettings {
    /// Every setting by its name: its value, without secrets, and its origin.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (String, Json, SettingOrigin)> {
        flattened(&self.config).into_iter().map(|(name, value)| {
            let origin = self.origins.get(&name).cloned();
            (name, value, origin.unwrap_or(SettingOrigin::Default))
        })
    }

    /// The origin of a setting.
    pub(crate) fn origin_of(&self, name: &str) -> SettingOrigin {
        let origin = self.origins.get(name);
        origin.cloned().unwrap_or(SettingOrigin::Default)
    }
}

impl SettingSources {
    /// The layers with the file at a path, if there is one.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn with_file(self, path: &Path) -> std::io::Result<Self> {
        match fs::read(path) {
            Ok(file) => Ok(Self { file, ..self }),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(self),
            Err(error) => Err(error),
        }
    }

    /// Merges the layers and checks every value.
    ///
    /// # Errors
    /// All faults, in the order of their origins.
    pub(crate) fn read(&self) -> Result<LayeredSettings, Vec<SettingFault>> {
        let (names, mut faults) = (SettingNames::new(), Vec::new());
        let mut given = match std::str::from_utf8(&self.file) {
            Ok(text) => file::read(text, &names, &mut faults),
            Err(error) => {
                faults.push(not_utf8(&self.file, error.valid_up_to()));
                Vec::new()
            }
        };
        given.extend(environment::read(
            &self.variables,
            &self.arguments,
            &names,
            &mut faults,
        ));
        given.extend(self.listen.map(|address| GivenSetting {
            name: "gateway.listen".into(),
            value: address.to_string().into(),
            origin: SettingOrigin::Argument,
        }));
        given.splice(0..0, profile::read(&given));
        let (mut table, mut origins) = (Table::new(), BTreeMap::new());
        for GivenSetting { name, value, origin } in given {
            match accepts(&name, &value) {
                Ok(()) => {
                    insert(&mut table, &name, value);
                    origins.insert(name, origin);
                }
                Err(why) => faults.push(SettingFault { origin, setting: name, why }),
            }
        }
        let config = table.try_into().unwrap_or_else(|error: toml::de::Error| {
            let (origin, setting) = (SettingOrigin::Default, String::new());
            faults.push(SettingFault { origin, setting, why: error.message().to_owned() });
            ShopConfig::default()
        });
        check_rules(&config, &origins, &mut faults);
        if faults.is_empty() {
            return Ok(LayeredSettings { config, origins });
        }
        faults.sort();
        Err(faults)
    }
}

fn not_utf8(file: &[u8], place: usize) -> SettingFault {
    let before = file[..place].iter().filter(|byte| **byte == b'\n').count();
    SettingFault {
        origin: SettingOrigin::Line(1 + before),
        setting: String::new(),
        why: "the file is not UTF-8; save it in that encoding".into(),
    }
}

/// Checks the ranges of settings and the rules between them. A rule about a setting with a
/// fault of its own is not reported.
fn check_rules(
    config: &ShopConfig,
    origins: &BTreeMap<String, SettingOrigin>,
    faults: &mut Vec<SettingFault>,
) {
    let Err(report) = config.validate() else {
        return;
    };
    let faulty: Vec<_> = faults.iter().map(|fault| fault.setting.clone()).collect();
    for (path, error) in report.iter() {
        let setting = path.to_string();
        if faulty.iter().any(|faulty| concerns(&setting, faulty)) {
            continue;
        }
        let origin = origins.iter().find(|(name, _)| concerns(&setting, name));
        let origin = origin.map_or(SettingOrigin::Default, |(_, origin)| origin.clone());
        let why = error.message().to_owned();
        faults.push(SettingFault { origin, setting, why });
    }
}

/// Whether a rule at `path` (a setting, an item of one such as `secrets[0]`, or a section) is
/// about a setting.
fn concerns(path: &str, setting: &str) -> bool {
    let (path, _) = path.split_once('[').unwrap_or((path, ""));
    path == setting || is_below(setting, path)
}
