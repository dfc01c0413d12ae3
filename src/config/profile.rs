//! The layer of the profile, between the defaults and the file: what suits a host of another
//! size.

use serde::{Deserialize, Serialize};

use super::setting::{GivenSetting, SettingOrigin};

/// The name of the setting that chooses the profile.
pub(super) const NAME: &str = "profile";

/// The size of the host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum HostProfile {
    /// A host with some memory to spare; everything is as the defaults say.
    #[default]
    Standard,
    /// A host of 512 MB with other things to do, such as a Raspberry Pi.
    Small,
}

/// What the profile for small hosts sets: smaller caches, and bounds of what clients can make
/// the gateway hold.
const SMALL: [(&str, i64); 9] = [
    ("store.cache_mib", 1),
    ("products.cache_mib", 1),
    ("gateway.cache.mib", 4),
    ("gateway.limits.connections", 512),
    ("gateway.limits.connections_per_address", 64),
    ("gateway.limits.streams", 384),
    ("gateway.limits.streams_per_address", 16),
    ("gateway.limits.in_flight", 128),
    ("gateway.limits.sending_mib", 4),
];

/// The settings of the profile that the other layers choose.
pub(super) fn read(given: &[GivenSetting]) -> Vec<GivenSetting> {
    let chosen = given.iter().rev().find(|setting| setting.name == NAME);
    let profile = chosen.and_then(|setting| setting.value.clone().try_into().ok());
    let settings: &[_] = match profile.unwrap_or_default() {
        HostProfile::Standard => &[],
        HostProfile::Small => &SMALL,
    };
    let setting = |&(name, value): &(&str, i64)| GivenSetting {
        name: name.into(),
        value: value.into(),
        origin: SettingOrigin::Profile,
    };
    settings.iter().map(setting).collect()
}
