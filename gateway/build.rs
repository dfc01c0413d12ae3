//! Turns the OpenAPI document, which people edit as YAML, into the JSON that is
//! served, with the scope of API keys that each operation takes from the route table, and the kinds
//! that webhooks subscribe to from the vocabulary; a document that does not parse fails the build.

use std::path::PathBuf;
use std::{env, fs};

use serde_json::{Value, json};

fn main() {
    println!("cargo::rerun-if-changed=openapi.yaml");
    let text = fs::read_to_string("openapi.yaml").expect("gateway/openapi.yaml can be read");
    let mut document: Value = serde_saphyr::from_str(&text).expect("gateway/openapi.yaml is YAML");
    add_scopes(&mut document);
    add_kinds(&mut document);
    let folder = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    fs::write(folder.join("openapi.json"), document.to_string()).expect("OUT_DIR can be written");
}

/// Adds the scope of each route to its operation: as a security requirement, whose list names
/// roles in OpenAPI 3.1, and in words.
fn add_scopes(document: &mut Value) {
    let default = document["security"].clone();
    for route in api::ROUTES {
        let method = route.method.as_str().to_lowercase();
        let Some(scope) = route.scope else { continue };
        // A test compares the rows with the document.
        let operation = document["paths"].get_mut(route.path);
        let Some(operation) = operation.and_then(|path| path.get_mut(method)) else {
            continue;
        };
        if operation["security"].is_null() {
            operation["security"] = default.clone();
        }
        if let Value::Array(security) = &mut operation["security"] {
            security.push(json!({ "apiKey": [scope.name()] }));
        }
        let text = operation["description"].as_str().unwrap_or_default();
        let scope = format!("API keys need the scope `{}`.", scope.name());
        operation["description"] = format!("{text}\n\n{scope}").trim_start().into();
    }
}

/// Adds the kinds of events and notices to the operation that lists them, and to their schema.
fn add_kinds(document: &mut Value) {
    let lines = model::described_kinds().map(|(kind, text)| format!("- `{kind}`: {text}"));
    let list = lines.collect::<Vec<_>>().join("\n");
    let operation = &mut document["paths"]["/v1/webhooks/kinds"]["get"];
    let text = operation["description"].as_str().unwrap_or_default();
    operation["description"] = format!("{}\n\n{list}", text.trim()).into();
    document["components"]["schemas"]["EventKind"]["properties"]["kind"]["enum"] =
        model::described_kinds().map(|(kind, _)| kind).collect();
}
