//! Entity tags of encoded responses (RFC 9110 §8.8.3.3).
//!
//! A service's `"abc"` becomes `"abc+gzip"`, because a strong tag names one sequence of
//! bytes. The suffix is stripped from tags in conditions, so services, which know the plain
//! form only, compare strongly. A service's tag is base64url in quotes and has no `+`.

use http::header::ETAG;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::accept::Coding;

fn suffix(coding: Coding) -> &'static str {
    match coding {
        Coding::Brotli => "+br\"",
        Coding::Gzip => "+gzip\"",
    }
}

/// The tag of an encoded response; `None` for a weak one, which is valid in any coding.
pub(super) fn of(tag: &HeaderValue, coding: Coding) -> Option<HeaderValue> {
    let opaque = tag.to_str().ok()?.strip_suffix('"')?;
    let is_strong = opaque.starts_with('"');
    is_strong.then(|| HeaderValue::try_from(format!("{opaque}{}", suffix(coding))).ok())?
}

/// Strips the suffixes of these codings from a condition; returns whether there were any.
pub(super) fn strip(headers: &mut HeaderMap, condition: HeaderName, codings: &[Coding]) -> bool {
    let http::header::Entry::Occupied(mut values) = headers.entry(condition) else {
        return false;
    };
    let mut is_any = false;
    for value in values.iter_mut() {
        let Ok(text) = value.to_str() else { continue };
        if !text.contains('+') {
            continue;
        }
        let stripped = codings.iter().fold(text.to_owned(), |text, coding| {
            text.replace(suffix(*coding), "\"")
        });
        if stripped != text
            && let Ok(stripped) = HeaderValue::try_from(stripped)
        {
            *value = stripped;
            is_any = true;
        }
    }
    is_any
}

/// Sets the encoded tag of a 304, if the client named it in `held`.
pub(super) fn restore(headers: &mut HeaderMap, held: &HeaderValue, coding: Coding) {
    let tag = headers.get(ETAG).and_then(|tag| of(tag, coding));
    let Some(tag) = tag else { return };
    let is_held = |held: &str| tag.to_str().is_ok_and(|tag| held.contains(tag));
    if held.to_str().is_ok_and(is_held) {
        headers.insert(ETAG, tag);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::{IF_MATCH, IF_NONE_MATCH};
    use proptest::prelude::*;

    fn stripped(condition: &HeaderName, tags: &str, codings: &[Coding]) -> String {
        let tags = HeaderValue::from_str(tags).unwrap();
        let mut headers = HeaderMap::from_iter([(condition.clone(), tags)]);
        strip(&mut headers, condition.clone(), codings);
        headers[condition].to_str().unwrap().to_owned()
    }

    #[test]
    fn only_suffixes_of_the_given_codings_are_stripped() {
        let back = |tags, codings: &[Coding]| stripped(&IF_NONE_MATCH, tags, codings);
        assert_eq!(
            back("\"a+gzip\", W/\"b\"", &[Coding::Gzip]),
            "\"a\", W/\"b\""
        );
        assert_eq!(back("\"a+gzip\"", &[Coding::Brotli]), "\"a+gzip\"");
        assert_eq!(back("*", &Coding::ALL), "*");
        assert_eq!(back("\"a+gzip+br\"", &[]), "\"a+gzip+br\"");
        let weak = HeaderValue::from_static("W/\"a\"");
        assert_eq!(of(&weak, Coding::Gzip), None);
    }

    #[test]
    fn a_304_has_the_tag_that_the_client_sent() {
        let etag = |held: &'static str| {
            let tag = HeaderValue::from_static("\"b\"");
            let mut headers = HeaderMap::from_iter([(ETAG, tag)]);
            restore(&mut headers, &HeaderValue::from_static(held), Coding::Gzip);
            headers[ETAG].to_str().unwrap().to_owned()
        };
        assert_eq!(etag("\"a\", \"b+gzip\""), "\"b+gzip\"");
        assert_eq!(etag("\"a+gzip\", \"b\""), "\"b\"");
    }

    proptest! {
        #[test]
        fn stripping_restores_the_tags_of_the_service(tags in proptest::collection::vec("\"[A-Za-z0-9_-]{1,16}\"", 1..4)) {
            for coding in Coding::ALL {
                let given = tags.iter().map(|tag| {
                    let tag = of(&HeaderValue::from_str(tag).unwrap(), coding).unwrap();
                    tag.to_str().unwrap().to_owned()
                });
                let given = given.collect::<Vec<_>>().join(", ");
                let back = stripped(&IF_MATCH, &given, &Coding::ALL);
                prop_assert_eq!(back, tags.join(", "));
            }
        }
    }
}
