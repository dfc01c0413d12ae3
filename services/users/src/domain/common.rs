//! List of common passwords, which are refused (ASVS 5.0 §6.2.4).
//!
//! **Invariant:** the list is sorted by bytes and in lower case, so one binary search
//! decides.

use std::sync::LazyLock;

/// Origin: `data/README.md`.
static LIST: &str = include_str!("../../data/common_passwords.txt");
static LINES: LazyLock<Vec<&str>> = LazyLock::new(|| LIST.lines().collect());

/// Whether a password in NFKC is on the list, ignoring case.
pub(super) fn is_common(password: &str) -> bool {
    let lower = password.to_lowercase();
    LINES.binary_search(&lower.as_str()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_can_be_searched() {
        assert!(LINES.len() >= 3_000, "{}", LINES.len());
        assert!(LINES.is_sorted());
        for line in LINES.iter() {
            assert!(line.chars().count() >= 8 && is_common(line), "{line}");
        }
        assert!(is_common("PassWord1") && is_common("jennifer"));
        assert!(!is_common("correct horse"));
    }
}
