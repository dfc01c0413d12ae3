//! Request bodies, path ids and the `Idempotency-Key`, read to the contract.

use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use model::Id;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::limits::HEADER_ID_BYTES_MAX;
use crate::{FieldError, Problem};
use api::JSON_BODY_BYTES_MAX;

/// A JSON body, in and out. As an extractor it refuses a body that is not declared as JSON
/// (415), is too large (413), is malformed or has an unknown field (400), or has the wrong
/// shape (422, with a pointer).
#[derive(Debug, Clone, Copy)]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => ([(CONTENT_TYPE, "application/json")], body).into_response(),
            Err(error) => Problem::internal(error).into_response(),
        }
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        require_json(request.headers(), &["application/json"])?;
        let body = read_body(request).await?;
        parse(&body).map(Self)
    }
}

/// Refuses a body that is not declared as one of `types`.
///
/// # Errors
/// 415 for another media type.
pub fn require_json(headers: &HeaderMap, types: &[&str]) -> Result<(), Problem> {
    let declared = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    let essence = declared.split(';').next().unwrap_or("").trim();
    if types
        .iter()
        .any(|known| essence.eq_ignore_ascii_case(known))
    {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported-media-type",
        "Unsupported media type",
        format!("send `Content-Type: {}`", types.join("` or `")),
    ))
}

/// The whole body, bounded.
///
/// # Errors
/// 413 above the limit, 400 when it ends early.
pub async fn read_body(request: Request) -> Result<Vec<u8>, Problem> {
    let limited = Limited::new(request.into_body(), JSON_BODY_BYTES_MAX);
    match limited.collect().await {
        Ok(body) => Ok(body.to_bytes().into()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(Problem::too_large(JSON_BODY_BYTES_MAX))
        }
        Err(_) => Err(Problem::bad_request(
            "the body ended early; send the request again",
        )),
    }
}

/// Parses JSON with the errors of the contract.
///
/// # Errors
/// 400 for malformed JSON or an unknown field, 422 for a wrong shape.
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    parse_fields(body).map_err(|error| match error {
        ParseError::Unreadable(why) => Problem::bad_request(why),
        ParseError::Field(error) => Problem::invalid(vec![error]),
    })
}

/// The reason why a JSON text is not of the expected type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParseError {
    /// It is not JSON, or has an unknown field.
    Unreadable(String),
    /// A field has the wrong type.
    Field(FieldError),
}

/// Parses JSON, and distinguishes malformed text from a field of the wrong type.
///
/// # Errors
/// See [`ParseError`].
pub fn parse_fields<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Result<T, ParseError> {
    // Tracking the path of each field is slower than parsing an invalid text again.
    if let Ok(value) = serde_json::from_slice(body) {
        return Ok(value);
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let pointer = pointer(error.path());
        let inner = error.into_inner();
        let text = inner.to_string();
        if inner.is_data() && !text.starts_with("unknown field") {
            ParseError::Field(FieldError::new(pointer, in_api_terms(&text)))
        } else {
            ParseError::Unreadable(text)
        }
    })?;
    reader
        .end()
        .map_err(|error| ParseError::Unreadable(error.to_string()))?;
    Ok(value)
}

/// A message of serde about a value, in the terms of the API. The pointer says where the value
/// is, so the position in the text is left out.
fn in_api_terms(message: &str) -> String {
    let message = match message.rfind(" at line ") {
        Some(position) => &message[..position],
        None => message,
    };
    let mismatch = message
        .strip_prefix("invalid type: ")
        .or_else(|| message.strip_prefix("invalid value: "))
        .and_then(|mismatch| mismatch.rsplit_once(", expected "));
    if let Some((found, expected)) = mismatch {
        return format!("must be {}, not {}", api_type(expected), api_value(found));
    }
    let variant = message.strip_prefix("unknown variant ");
    if let Some((found, expected)) = variant.and_then(|text| text.split_once(", expected ")) {
        return format!("must be {expected}, not {found}");
    }
    if message.contains("untagged enum") {
        return "has none of the forms that it may have".to_owned();
    }
    message.to_owned()
}

/// A Rust type as a type of JSON.
fn api_type(expected: &str) -> &str {
    match expected {
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a map" => "an object",
        _ if expected.starts_with("struct ") => "an object",
        _ if expected.starts_with("a sequence") || expected.starts_with("tuple") => "a list",
        _ if expected.ends_with("string") => "a text",
        _ => expected,
    }
}

/// What serde calls the value that it found, as a value of JSON.
fn api_value(found: &str) -> String {
    for (kind, term) in [
        ("string ", "the text "),
        ("integer ", "the number "),
        ("floating point ", "the number "),
        ("boolean ", ""),
    ] {
        if let Some(value) = found.strip_prefix(kind) {
            return format!("{term}{}", value.trim_matches('`'));
        }
    }
    match found {
        "map" => "an object".into(),
        "sequence" => "a list".into(),
        other => other.into(),
    }
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Map { key } => Some(format!("/{}", escape(key))),
            Segment::Seq { index } => Some(format!("/{index}")),
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect()
}

/// A member's name as a step of a JSON pointer (RFC 6901 §3).
pub(crate) fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// The id in a path; a malformed one is a 404, like an unknown one.
#[derive(Debug, Clone, Copy)]
pub struct PathId<K: model::Kind>(pub Id<K>);

impl<K: model::Kind, S: Send + Sync> FromRequestParts<S> for PathId<K> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = Path::<String>::from_request_parts(parts, state).await;
        let Path(text) = text.map_err(|_| Problem::not_found())?;
        text.parse().map(Self).map_err(|_| Problem::not_found())
    }
}

/// Both ids in a path; a malformed one is a 404, like an unknown one.
#[derive(Debug, Clone, Copy)]
pub struct PathIds<A: model::Kind, B: model::Kind>(pub Id<A>, pub Id<B>);

impl<A: model::Kind, B: model::Kind, S: Send + Sync> FromRequestParts<S> for PathIds<A, B> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let texts = Path::<(String, String)>::from_request_parts(parts, state).await;
        let Path((outer, inner)) = texts.map_err(|_| Problem::not_found())?;
        match (outer.parse(), inner.parse()) {
            (Ok(outer), Ok(inner)) => Ok(Self(outer, inner)),
            _ => Err(Problem::not_found()),
        }
    }
}

/// The request's `Idempotency-Key`, if it has one: bare or quoted, 1..255 visible
/// ASCII characters.
#[derive(Debug, Clone)]
pub struct IdempotencyKey(pub Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get("idempotency-key") else {
            return Ok(Self(None));
        };
        let text = value.to_str().unwrap_or_default();
        let bare = text
            .strip_prefix('"')
            .and_then(|inner| inner.strip_suffix('"'))
            .unwrap_or(text);
        let sane = (1..=HEADER_ID_BYTES_MAX).contains(&bare.len())
            && bare.bytes().all(|byte| byte.is_ascii_graphic());
        if sane {
            Ok(Self(Some(bare.to_owned())))
        } else {
            Err(Problem::bad_request(
                "Idempotency-Key must be 1..255 visible ASCII characters",
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Lamp {
        #[expect(dead_code, reason = "only its parsing is of interest")]
        price: Price,
    }

    #[derive(Debug, Deserialize)]
    struct Price {
        #[expect(dead_code, reason = "only its parsing is of interest")]
        amount: i64,
    }

    #[test]
    fn malformed_json_and_a_wrong_type_are_different_errors() {
        let why = |text: &str| parse_fields::<Lamp>(text.as_bytes()).unwrap_err();
        assert!(matches!(why("{\"price\":"), ParseError::Unreadable(_)));
        assert!(matches!(why("{\"prise\": 3}"), ParseError::Unreadable(_)));
        assert!(matches!(
            why("{\"price\":{\"amount\":1}} x"),
            ParseError::Unreadable(_)
        ));
        let ParseError::Field(error) = why("{\"price\":{\"amount\":\"1\"}}") else {
            panic!()
        };
        assert_eq!(error.pointer, "/price/amount");
        assert_eq!(error.detail, "must be a whole number, not the text \"1\"");
        assert_eq!(parse::<Lamp>(b"[]").unwrap_err().status(), 422);
    }

    #[test]
    fn faults_are_in_the_terms_of_the_api() {
        #[derive(Debug, Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum Status {
            Draft,
            Published,
        }

        fn detail<T: std::fmt::Debug + DeserializeOwned>(text: &str) -> String {
            match parse_fields::<T>(text.as_bytes()) {
                Err(ParseError::Field(error)) => error.detail,
                other => panic!("{text}: {other:?}"),
            }
        }
        for (detail, expected) in [
            (
                detail::<i64>("19.99"),
                "must be a whole number, not the number 19.99",
            ),
            (
                detail::<u32>("-1"),
                "must be a whole number, 0 or more, not the number -1",
            ),
            (detail::<String>("{}"), "must be a text, not an object"),
            (detail::<Vec<String>>("true"), "must be a list, not true"),
            (detail::<bool>("null"), "must be true or false, not null"),
            (
                detail::<Status>("\"hidden\""),
                "must be `draft` or `published`, not `hidden`",
            ),
        ] {
            assert_eq!(detail, expected);
        }
    }
}
