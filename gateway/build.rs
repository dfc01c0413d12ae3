//! Turns the OpenAPI document, which people edit as YAML, into the JSON that is
//! served; a document that does not parse fails the build.

use std::path::PathBuf;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=openapi.yaml");
    let text = fs::read_to_string("openapi.yaml").expect("gateway/openapi.yaml can be read");
    let document: serde_json::Value =
        serde_saphyr::from_str(&text).expect("gateway/openapi.yaml is YAML");
    let folder = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    fs::write(folder.join("openapi.json"), document.to_string()).expect("OUT_DIR can be written");
}
