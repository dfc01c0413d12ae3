//! Settings of the file: every value with its line, and every fault of the text.

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::names::SettingNames;
use super::setting::{GivenSetting, SettingFault, SettingOrigin};

/// Reads the text of a settings' file.
pub(super) fn read(
    text: &str,
    names: &SettingNames,
    faults: &mut Vec<SettingFault>,
) -> Vec<GivenSetting> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut reading = Reading { text, names, given: Vec::new(), faults: Vec::new() };
    reading.walk("", table.into_inner());
    let Reading { given, faults: found, .. } = reading;
    for error in errors {
        let line = line_at(text, error.span().map_or(0, |span| span.start));
        faults.push(fault(line, "", error.message().to_owned()));
    }
    // What the parser made of a line that it could not read is no fault of its own.
    let unreadable: Vec<_> = faults.iter().map(|fault| fault.origin.clone()).collect();
    let is_readable = |origin: &SettingOrigin| !unreadable.contains(origin);
    faults.extend(found.into_iter().filter(|fault| is_readable(&fault.origin)));
    let given = given.into_iter();
    given.filter(|one| is_readable(&one.origin)).collect()
}

struct Reading<'a> {
    text: &'a str,
    names: &'a SettingNames,
    given: Vec<GivenSetting>,
    faults: Vec<SettingFault>,
}

impl Reading<'_> {
    /// Reads the members of a table of that name; the root's is empty.
    fn walk(&mut self, section: &str, table: DeTable<'_>) {
        for (key, value) in table {
            let name = match section {
                "" => key.get_ref().to_string(),
                section => format!("{section}.{}", key.get_ref()),
            };
            let name = SettingNames::current(name);
            let line = line_at(self.text, key.span().start);
            if self.names.default_of(&name).is_some() {
                self.give(name, line, value);
            } else if !self.names.is_section(&name) {
                let like = self.names.like(&name);
                let like =
                    like.map_or_else(String::new, |like| format!("; did you mean `{like}`?"));
                self.refuse(line, &name, format!("there is no such setting{like}"));
            } else if let DeValue::Table(members) = value.into_inner() {
                self.walk(&name, members);
            } else {
                self.refuse(
                    line,
                    &name,
                    format!("it is a section, `[{name}]`, and no setting"),
                );
            }
        }
    }

    fn give(&mut self, name: String, line: usize, value: Spanned<DeValue<'_>>) {
        match toml::Value::deserialize(ValueDeserializer::from(value)) {
            Ok(value) => {
                let origin = SettingOrigin::Line(line);
                self.given.push(GivenSetting { name, value, origin });
            }
            Err(error) => self.refuse(line, &name, error.message().to_owned()),
        }
    }

    fn refuse(&mut self, line: usize, name: &str, why: String) {
        self.faults.push(fault(line, name, why));
    }
}

fn fault(line: usize, setting: &str, why: String) -> SettingFault {
    let (origin, setting) = (SettingOrigin::Line(line), setting.to_owned());
    SettingFault { origin, setting, why }
}

/// The number of the line of a place in a text, from 1 on.
pub(super) fn line_at(text: &str, place: usize) -> usize {
    let before = text.as_bytes().iter().take(place);
    1 + before.filter(|byte| **byte == b'\n').count()
}
