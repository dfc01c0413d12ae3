//! The names of all settings: those that the defaults serialize to, so that no other list of
//! them exists.
//!
//! A setting's name is its path in the file, `gateway.limits.write_ms`; its variable in the
//! environment is `KONBINI_GATEWAY_LIMITS_WRITE_MS`.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::ShopConfig;

/// The beginning of every variable of the environment that is read.
pub(super) const PREFIX: &str = "KONBINI_";

/// Names that settings had in earlier versions, and their names now.
const FORMER: [(&str, &str); 1] = [("mail.patience_ms", "mail.timeout_ms")];

/// The similarity (Jaro-Winkler) from which on a name is taken for a misspelt one.
const SIMILAR: f64 = 0.8;

/// Every setting by its name, with its default; `null` where there is none.
pub(super) struct SettingNames(BTreeMap<String, Value>);

impl SettingNames {
    pub(super) fn new() -> Self {
        Self(flattened(ShopConfig::default()))
    }

    /// The default of a setting; `None` if there is no setting of that name.
    pub(super) fn default_of(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// The present name of a setting.
    pub(super) fn current(name: String) -> String {
        match FORMER.iter().find(|(former, _)| *former == name) {
            Some((_, current)) => (*current).to_owned(),
            None => name,
        }
    }

    /// Whether settings lie below a name.
    pub(super) fn is_section(&self, name: &str) -> bool {
        self.0.keys().any(|setting| is_below(setting, name))
    }

    /// The setting that a variable gives.
    pub(super) fn of_variable(&self, variable: &str) -> Option<&str> {
        self.0
            .keys()
            .map(String::as_str)
            .find(|name| self::variable(name) == variable)
    }

    /// The setting or section whose name is most like this one.
    pub(super) fn like(&self, name: &str) -> Option<String> {
        let sections = self.0.keys().filter_map(|setting| setting.rsplit_once('.'));
        let sections = sections.map(|(section, _)| section.to_owned());
        // That it is in a section is right already.
        let sections = sections.filter(|section| !is_below(name, section));
        most_like(name, self.0.keys().cloned().chain(sections))
    }

    /// The variable whose name is most like this one, of those of settings and `others`.
    pub(super) fn variable_like(&self, name: &str, others: &[String]) -> Option<String> {
        let settings = self.0.keys().map(|setting| variable(setting));
        let known = settings.chain(others.iter().cloned());
        // What all of them begin with makes none more like another.
        let rest = |name: &str| name.trim_start_matches(PREFIX).to_owned();
        let like = most_like(&rest(name), known.map(|name| rest(&name)));
        like.map(|rest| format!("{PREFIX}{rest}"))
    }
}

fn most_like(name: &str, known: impl Iterator<Item = String>) -> Option<String> {
    let rated = known.map(|known| (strsim::jaro_winkler(name, &known), known));
    let best = rated.max_by(|(one, _), (other, _)| one.total_cmp(other))?;
    (best.0 >= SIMILAR).then_some(best.1)
}

/// The variable of a setting.
pub(crate) fn variable(name: &str) -> String {
    format!("{PREFIX}{}", name.replace('.', "_").to_ascii_uppercase())
}

/// Whether a name lies in a section: `gateway.tls.key` in `gateway.tls` and in `gateway`.
pub(super) fn is_below(name: &str, section: &str) -> bool {
    let rest = name.strip_prefix(section);
    rest.is_some_and(|rest| rest.starts_with('.'))
}

/// Each setting by its name, and its value.
pub(crate) fn flattened(of: impl Serialize) -> BTreeMap<String, Value> {
    fn collect(name: &str, value: Value, into: &mut BTreeMap<String, Value>) {
        match value {
            Value::Object(members) => {
                for (member, value) in members {
                    let name = [name, &member].join(".");
                    collect(name.trim_start_matches('.'), value, into);
                }
            }
            value => drop(into.insert(name.into(), value)),
        }
    }
    let mut all = BTreeMap::new();
    let value = serde_json::to_value(of).expect("settings serialize to JSON");
    collect("", value, &mut all);
    all
}
