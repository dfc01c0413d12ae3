//! Validation of every response of these tests against the OpenAPI document that the shop
//! serves: it must have the path and the status, and a JSON body must fit its schema.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use jsonschema::Validator;
use reqwest::Method;
use serde_json::{Value, json};

static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_saphyr::from_str(include_str!("../../gateway/openapi.yaml")).unwrap());

/// The validators made so far, by the place of their schema.
static VALIDATORS: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);

/// Panics unless the document allows this response.
pub(crate) fn check(method: &Method, path: &str, status: u16, kind: Option<&str>, text: &str) {
    let place = format!("{method} {path} {status}");
    let Some((template, item)) = find(path) else {
        assert_eq!(status, 404, "{place}: the document has no such path");
        return;
    };
    let Some(operation) = item.get(method.as_str().to_lowercase()) else {
        assert!(
            matches!(status, 401 | 403 | 405),
            "{place}: no such operation"
        );
        return;
    };
    let responses = &operation["responses"];
    let by_status = responses.get(status.to_string());
    let response = by_status.or_else(|| responses.get("default").filter(|_| status >= 400));
    let response =
        resolve(response.unwrap_or_else(|| panic!("{place}: not among {template}'s answers")));
    let Some(content) = response.get("content") else {
        assert_eq!(text, "", "{place}: a body where the document has none");
        return;
    };
    let kind = kind.unwrap_or_default().split(';').next().unwrap();
    let Some(media) = content.get(kind) else {
        panic!("{place}: {kind} is not among {content}");
    };
    // JSON Lines are not one document.
    if kind.ends_with("json") && !kind.ends_with("ndjson") {
        let validator = validator(&format!("{method} {template} {status} {kind}"), media);
        let body: Value = serde_json::from_str(text).unwrap();
        let faults: Vec<_> = validator
            .iter_errors(&body)
            .map(|fault| format!("{}: {fault}", fault.instance_path()))
            .collect();
        assert!(faults.is_empty(), "{place}: {faults:#?}\n{text}");
    }
}

/// The path's template and what the document says of it; one without parameters
/// first.
fn find(path: &str) -> Option<(&'static str, &'static Value)> {
    let path = path.split('?').next()?;
    let paths = DOCUMENT["paths"].as_object()?;
    let fits = |template: &str| {
        template.split('/').count() == path.split('/').count()
            && template
                .split('/')
                .zip(path.split('/'))
                .all(|(wanted, given)| wanted.starts_with('{') || wanted == given)
    };
    let found = paths.iter().filter(|(template, _)| fits(template));
    found
        .min_by_key(|(template, _)| template.matches('{').count())
        .map(|(template, item)| (template.as_str(), item))
}

fn resolve(node: &'static Value) -> &'static Value {
    match node["$ref"].as_str() {
        Some(reference) => DOCUMENT.pointer(&reference[1..]).unwrap(),
        None => node,
    }
}

fn validator(place: &str, media: &Value) -> Arc<Validator> {
    let mut validators = VALIDATORS.lock().unwrap();
    let made = validators.entry(place.to_owned()).or_insert_with(|| {
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "allOf": [media["schema"]],
            "components": DOCUMENT["components"],
        });
        Arc::new(jsonschema::validator_for(&schema).unwrap_or_else(|why| panic!("{place}: {why}")))
    });
    made.clone()
}
