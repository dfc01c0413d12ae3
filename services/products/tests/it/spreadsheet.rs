//! Exports that a spreadsheet opened and saved: what people changed changes, and nothing else.

use std::path::Path;
use std::process::Command;

use reqwest::Method;
use serde_json::{Value, json};
use testkit::{TestService, send};

use crate::import_files::{counts, import_csv, product};
use crate::{CATALOGUE, import, lamp, make};

/// Texts that a spreadsheet reads as numbers, dates or formulas.
const TEXTS: [&str; 19] = [
    "007",
    "0884420588030",
    "12345678901234567890",
    "1E5",
    "2,5",
    "3.10",
    "1,500",
    "+5",
    "3+",
    "68 %",
    "1/2",
    "12:30",
    "Jan 2024",
    "01.02.2024",
    "€12",
    "(5)",
    "=1+1",
    "@sum",
    "true",
];

/// A product with such texts wherever it has one.
fn awkward() -> Value {
    let mut product = lamp("0012345678905");
    product["title"] = "1984".into();
    product["brand"] = "4711".into();
    product["description"] = "=SUM(A1:A9)".into();
    product["tags"] = json!(["2024", "5"]);
    product["categories"] = json!(["2024", "50 %"]);
    product["attributes"] = TEXTS
        .iter()
        .map(|text| (format!("a {text}"), json!(text)))
        .collect();
    product
}

async fn export(app: &TestService) -> String {
    let request = app
        .staff()
        .request(Method::GET, "/v1/products/export?format=csv");
    request.send().await.unwrap().text().await.unwrap()
}

/// The file after LibreOffice opened it so and saved it.
fn saved(folder: &Path, file: &str, opened: &str) -> String {
    let (source, out) = (folder.join("catalogue.csv"), folder.join("saved"));
    std::fs::write(&source, file).unwrap();
    let profile = format!(
        "-env:UserInstallation=file://{}",
        folder.join("profile").display()
    );
    let status = Command::new("soffice")
        .args([
            profile.as_str(),
            "--headless",
            &format!("--infilter=CSV:{opened}"),
            "--convert-to",
        ])
        .arg("csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,true,false")
        .arg("--outdir")
        .args([&out, &source])
        .status();
    assert!(status.unwrap().success());
    std::fs::read_to_string(out.join("catalogue.csv")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_that_a_spreadsheet_would_change_are_formulas() {
    let app = TestService::start("products", products::open, &["orders"]).await;
    let staff = app.staff();
    make(&staff, awkward()).await;
    let file = export(&app).await;
    for cell in [
        "\"=\"\"0012345678905\"\"\"",
        "\"=\"\"=SUM(A1:A9)\"\"\"",
        "\"=\"\"2024,5\"\"\"",
        ",1984,",
        ",4711,",
        ",19.99,EUR,",
    ] {
        assert!(file.contains(cell), "{cell}: {file}");
    }
    let unchanged = import_csv(&staff, "?stock=set", &file).await;
    assert_eq!(counts(&unchanged), [1, 0, 0, 1, 0], "{unchanged}");
    // As people write them by hand, in any table.
    let file =
        "Handle,Title,Variant SKU,Variant Price\nx,\"=\"\"1/2\"\"\",\"=\"\"0012345678905\"\"\",5\n";
    assert_eq!(counts(&import_csv(&staff, "", file).await), [1, 0, 1, 0, 0]);
    assert_eq!(product(&staff, "0012345678905").await["title"], "1/2");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs LibreOffice (soffice)"]
async fn a_catalogue_that_libreoffice_saved_has_the_changes_of_people_only() {
    let app = TestService::start("products", products::open, &["orders"]).await;
    let staff = app.staff();
    assert_eq!(import(&staff, CATALOGUE).await.body["created"], 200);
    make(&staff, awkward()).await;
    let file = export(&app).await;
    let folder = tempfile::tempdir().unwrap();
    // Special numbers detected or not; in English, and in German with its decimal comma.
    for opened in [
        "44,34,76,1,,0,false,false",
        "44,34,76,1,,0,false,true",
        "44,34,76,1,,1031,false,true",
    ] {
        let mut edited = file.clone();
        for (price, new) in [
            (",59.90,", ",57.5,"),
            (",74.50,", ",70,"),
            (",19.99,", ",21.00,"),
        ] {
            assert!(edited.contains(price), "{price}");
            edited = edited.replacen(price, new, 1);
        }
        let edited = saved(folder.path(), &edited, opened);
        let summary = import_csv(&staff, "?stock=set", &edited).await;
        assert_eq!(counts(&summary), [201, 0, 3, 198, 0], "{opened}: {summary}");
        assert_eq!(export(&app).await.lines().count(), file.lines().count());
        let back = import_csv(&staff, "", &file).await;
        assert_eq!(counts(&back), [201, 0, 3, 198, 0], "{opened}: {back}");
    }
    let refused = send(staff.request(Method::GET, "/v1/products/by-sku/12345678905")).await;
    assert_eq!(
        refused.status, 404,
        "the zeros before a number are part of a SKU"
    );
    app.finish().await;
}
