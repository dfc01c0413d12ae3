//! Content negotiation by language: `Accept-Language` (RFC 9110 §12.5.4).
//!
//! **Invariant:** at most eight ranges are read, and every language returned has the form
//! of a BCP 47 tag (RFC 5646), so it is safe in logs, rows and file names.

use axum::http::HeaderMap;
use axum::http::header::ACCEPT_LANGUAGE;

/// The ranges that are read of one header.
const RANGES_MAX: usize = 8;
/// The length of a tag (RFC 5646 §4.4.1).
const TAG_BYTES_MAX: usize = 35;

/// The accepted languages, preferred first.
pub fn languages(headers: &HeaderMap) -> Vec<String> {
    let value = headers.get(ACCEPT_LANGUAGE);
    let text = value.and_then(|value| value.to_str().ok()).unwrap_or("");
    let mut ranges: Vec<_> = text
        .split(',')
        .take(RANGES_MAX)
        .filter_map(|range| {
            let (tag, weight) = range.split_once(';').unwrap_or((range, "q=1"));
            let weight: f32 = weight.trim().strip_prefix("q=")?.trim().parse().ok()?;
            let tag = tag.trim();
            (weight > 0.0 && is_tag(tag)).then_some((weight, tag))
        })
        .collect();
    ranges.sort_by(|(left, _), (right, _)| right.total_cmp(left));
    ranges.into_iter().map(|(_, tag)| tag.to_owned()).collect()
}

/// The language accepted most, if the client names one.
pub fn preferred(headers: &HeaderMap) -> Option<String> {
    languages(headers).into_iter().next()
}

fn is_tag(text: &str) -> bool {
    let is_subtag = |subtag: &str| {
        (1..=8).contains(&subtag.len()) && subtag.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    text.len() <= TAG_BYTES_MAX && text.split('-').all(is_subtag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_are_sorted_by_weight() {
        for (header, expected) in [
            (
                "fr-CH, fr;q=0.9, en;q=0.8, de;q=0.95, *;q=0.5",
                "fr-CH de fr en",
            ),
            ("da;q=0, de;q=x, ;, en", "en"),
            ("de;q=0.5, en", "en de"),
            (" zh-Hant-TW ", "zh-Hant-TW"),
            ("*", ""),
            ("", ""),
            ("-en", ""),
            ("en_US", ""),
            ("<script>", ""),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_LANGUAGE, header.parse().unwrap());
            assert_eq!(languages(&headers).join(" "), expected, "{header}");
        }
        assert_eq!(languages(&HeaderMap::new()), [""; 0]);
    }
}
