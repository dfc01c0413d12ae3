//! The names of this service's keys for MACs, each in a file of its own: `DATA/users/NAME.secret`.
//!
//! One key for each purpose, so that a MAC made for one is worth nothing for another. A key that
//! is missing is made anew, and what was made with it ends.
//!
//! | key | what ends with it |
//! | --- | --- |
//! | `refresh` | sessions, at their next renewal |
//! | `codes` | one-time codes that were sent and not used |
//! | `throttle` | counts of failed logins |
//! | `factors` | second factors and their recovery codes |
//! | `api_keys` | API keys |

use chassis::Context;

/// Of refresh tokens.
pub(crate) const REFRESH: &str = "refresh";
/// Of one-time codes and the links of changes of address.
pub(crate) const CODES: &str = "codes";
/// Of the addresses in counters.
pub(crate) const THROTTLE: &str = "throttle";
/// Of second factors and login challenges.
pub(crate) const FACTORS: &str = "factors";
/// Of the secrets of API keys.
pub(crate) const API_KEYS: &str = "api_keys";

/// Warns of keys that a shop which has run lacks: they are made anew.
pub(crate) fn warn_of_missing(context: &Context) -> Result<(), chassis::Error> {
    if context.log.tail().seq == 0 {
        return Ok(());
    }
    for name in [REFRESH, CODES, THROTTLE] {
        if context.folder.kept_secret(context.name, name)?.is_none() {
            tracing::warn!(
                file = %context.data_dir.join(format!("{name}.secret")).display(),
                "the secret is missing and is made anew; what was made with it (sessions, codes, counts of failed logins) ends"
            );
        }
    }
    Ok(())
}
