//! Settings of the environment: `KONBINI_SECTION_NAME`.
//!
//! A variable's text becomes what its setting takes: a text, a number, `true` or `false`, or
//! a list, whose items are separated by commas. **Invariant:** a variable that begins with
//! `KONBINI_` and is neither a setting's nor an argument's is refused, so that a misspelt one
//! is never ignored.

use std::ffi::OsString;

use toml::Value;

use super::names::{PREFIX, SettingNames};
use super::setting::{GivenSetting, SettingFault, SettingOrigin, accepts};

/// Reads the variables that settings are given by.
pub(super) fn read(
    variables: &[(OsString, OsString)],
    arguments: &[String],
    names: &SettingNames,
    faults: &mut Vec<SettingFault>,
) -> Vec<GivenSetting> {
    let mut given = Vec::new();
    for (variable, text) in variables {
        let variable = variable.to_string_lossy().into_owned();
        if !variable.starts_with(PREFIX) || arguments.contains(&variable) {
            continue;
        }
        let origin = SettingOrigin::Variable(variable.clone());
        let Some(name) = names.of_variable(&variable) else {
            let like = names.variable_like(&variable, arguments);
            let like = like.map_or_else(String::new, |like| format!("; did you mean {like}?"));
            let why = format!("there is no such setting{like}");
            faults.push(SettingFault { origin, setting: String::new(), why });
            continue;
        };
        let is_list = names.default_of(name).is_some_and(|it| it.is_array());
        let value = match text.to_str() {
            Some(text) => value(name, text, is_list),
            None => Err("it is not UTF-8".to_owned()),
        };
        let name = name.to_owned();
        match value {
            Ok(value) => given.push(GivenSetting { name, value, origin }),
            Err(why) => faults.push(SettingFault { origin, setting: name, why }),
        }
    }
    given
}

/// The value that a text is for a setting: the first of its readings that the setting takes.
fn value(name: &str, text: &str, is_list: bool) -> Result<Value, String> {
    let mut readings = Vec::new();
    if is_list {
        let items = text.split(',').map(str::trim);
        let items = items.filter(|item| !item.is_empty()).map(Value::from);
        readings.push(Value::Array(items.collect()));
    } else {
        readings.push(Value::from(text));
        readings.extend(text.parse().map(Value::Integer));
        readings.extend(text.parse().map(Value::Boolean));
    }
    let mut refused = String::new();
    for reading in readings {
        match accepts(name, &reading) {
            Ok(()) => return Ok(reading),
            Err(why) => refused = why,
        }
    }
    Err(refused)
}
