//! W3C Trace Context: the trace that a request is part of.
//!
//! A valid `traceparent` is passed through: no spans are recorded here, so the caller's
//! span stays the parent (§3.4). An invalid one is removed with its `tracestate`, and a new
//! trace begins (§4.3).
//!
//! Trace ids and request ids have one form, 32 hexadecimal digits. A request without an id
//! gets its trace's, and a new trace gets its request's, so logs and events name both by
//! one id.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use data_encoding::HEXLOWER;

/// `traceparent`.
pub const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
/// `tracestate`.
pub const TRACE_STATE: HeaderName = HeaderName::from_static("tracestate");

/// The id of the trace that these headers continue, 32 lower-case hexadecimal digits.
pub fn id(headers: &HeaderMap) -> Option<&str> {
    let mut given = headers.get_all(TRACE_PARENT).iter();
    match (given.next(), given.next()) {
        (Some(parent), None) => parse(parent.to_str().ok()?),
        _ => None,
    }
}

/// Continues the trace of these headers, or begins one with the request's id.
pub fn continue_or_begin(headers: &mut HeaderMap, request_id: &str) {
    if id(headers).is_some() {
        return;
    }
    headers.remove(TRACE_STATE);
    let fresh = fresh_id();
    let trace = Some(request_id).filter(|id| is_id(id, 32));
    let parent = ["00", trace.unwrap_or(&fresh), &fresh[16..], "00"].join("-");
    if let Ok(parent) = HeaderValue::try_from(parent) {
        headers.insert(TRACE_PARENT, parent);
    }
}

/// A unique id: a random number of this process and a counter, spread over all digits.
/// An id is not a secret, so it needs no randomness of its own.
pub(crate) fn fresh_id() -> String {
    static DRAWN: LazyLock<u64> = LazyLock::new(|| {
        let id = model::Id::<model::kinds::Session>::new();
        id.uuid().as_u64_pair().1
    });
    static COUNT: AtomicU64 = AtomicU64::new(1);
    // Multiplication by an odd factor is a bijection.
    let spread = COUNT.fetch_add(1, Ordering::Relaxed);
    let spread = spread.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let id = (u128::from(*DRAWN) << 64) | u128::from(spread);
    HEXLOWER.encode(&id.to_be_bytes())
}

/// The trace's id in a `traceparent` (§3.2): `version-trace-parent-flags`; later versions
/// may append further fields after a dash.
fn parse(parent: &str) -> Option<&str> {
    let mut fields = parent.splitn(5, '-');
    let (version, trace) = (fields.next()?, fields.next()?);
    let (span, flags) = (fields.next()?, fields.next()?);
    let is_known = is_hex(version, 2)
        && version != "ff"
        && (version != "00" || fields.next().is_none())
        && is_id(trace, 32)
        && is_id(span, 16)
        && is_hex(flags, 2);
    is_known.then_some(trace)
}

fn is_id(text: &str, digits: usize) -> bool {
    is_hex(text, digits) && text.bytes().any(|digit| digit != b'0')
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits
        && text
            .bytes()
            .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    #[test]
    fn traceparents_are_validated() {
        let sane = format!("00-{TRACE}-b7ad6b7169203331-01");
        assert_eq!(parse(&sane), Some(TRACE));
        assert_eq!(parse(&sane.replacen("00", "cc", 1)), Some(TRACE));
        assert_eq!(parse(&format!("cc{}-later", &sane[2..])), Some(TRACE));
        for wrong in [
            "",
            "00-1-2-01",
            &format!("{sane}-later"),
            &format!("{sane}-"),
            &sane.replacen("00", "ff", 1),
            &sane.replacen("00", "0", 1),
            &sane.replace("0af", "0AF"),
            &sane.replace(TRACE, &"0".repeat(32)),
            &sane.replace("b7ad6b7169203331", &"0".repeat(16)),
            &sane.replace("-01", "-1"),
            &sane.replace("-01", ""),
            &sane.replace("-01", "-0x"),
            &format!(" {sane}"),
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_trace_is_continued_or_started() {
        let sane = format!("00-{TRACE}-b7ad6b7169203331-01");
        let after = |parents: &[&str], request_id: &str| {
            let mut headers = HeaderMap::new();
            for parent in parents {
                headers.append(TRACE_PARENT, HeaderValue::from_str(parent).unwrap());
            }
            headers.insert(TRACE_STATE, HeaderValue::from_static("a=b"));
            continue_or_begin(&mut headers, request_id);
            let keeps_state = headers.contains_key(TRACE_STATE);
            assert!(id(&headers).is_some(), "{headers:?}");
            (
                headers[TRACE_PARENT].to_str().unwrap().to_owned(),
                keeps_state,
            )
        };
        assert_eq!(after(&[&sane], "mine"), (sane.clone(), true));
        let request_id = "1".repeat(32);
        for parents in [&[] as &[&str], &["00-1-2-01"], &[&sane, &sane]] {
            let (parent, keeps_state) = after(parents, &request_id);
            assert!(parent.starts_with(&format!("00-{request_id}-")), "{parent}");
            assert!(!keeps_state);
        }
        assert_ne!(after(&[], "mine").0, after(&[], "mine").0);
    }

    proptest! {
        #[test]
        fn every_request_has_one_valid_trace(
            parents in proptest::collection::vec("[0-9a-f-]{0,60}|00-[01]{32}-[01]{16}-0[01]", 0..3),
            request_id in "[0-9a-f]{30,34}",
        ) {
            let mut headers = HeaderMap::new();
            for parent in &parents {
                headers.append(TRACE_PARENT, HeaderValue::from_str(parent).unwrap());
            }
            let before = id(&headers).map(str::to_owned);
            continue_or_begin(&mut headers, &request_id);
            let after = id(&headers).map(str::to_owned);
            prop_assert!(after.is_some());
            prop_assert!(before.is_none() || before == after);
        }
    }
}
