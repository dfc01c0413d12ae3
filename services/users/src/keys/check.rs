//! The check of the keys' secrets.

use chassis::check::Finding;
use model::Time;

use super::SigningKeys;

impl SigningKeys {
    /// Looks at the secrets: each key that is valid has one, and so has the root key, unless
    /// it is kept elsewhere.
    pub(crate) fn check(&self, now: Time) -> Finding {
        let mut finding = Finding::of("keys and their secrets");
        let valid = self.valid(now);
        for held in &valid {
            finding.compare();
            if let Err(error) = self.folder.secret(&held.kid) {
                finding.fault(error.to_string());
            }
        }
        finding.compare();
        let Err(error) = self.folder.root_secret() else {
            return finding;
        };
        let kids: Vec<_> = self.held().into_iter().map(|held| held.kid).collect();
        match self.folder.other_secrets(&kids) {
            Ok(others) if others.is_empty() && !self.folder.has_root_secret() => {}
            Ok(others) if others.is_empty() => finding.fault(error.to_string()),
            Ok(others) => {
                for file in others.values() {
                    finding.fault(format!(
                        "{}: it is of no key in use, and the root's is missing. If root_key in the file SHOP is right, this one is retired and can be deleted",
                        file.display()
                    ));
                }
            }
            Err(error) => finding.fault(error.to_string()),
        }
        finding
    }
}
