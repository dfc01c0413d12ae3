//! A load on a shop in five processes, and the result files that it leaves.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use testkit::shop::{Form, SERVICES, Shop};

use super::passes_in;

const EMAIL: &str = "staff@loads.example";
const PASSWORD: &str = "a kettle and three lamps";
const MIX: &str = "zipf = 0.99\nproducts = 20\n[operations]\nbrowse = 2\ncart = 1\ncheckout = 1\n";

/// A shop with a member of staff.
async fn open_shop() -> Shop {
    let konbini = Path::new(env!("CARGO_BIN_EXE_konbini-bench")).with_file_name("konbini");
    let mut shop = Shop::new(Some(konbini)).unwrap();
    shop.add_user(EMAIL, "staff", PASSWORD).unwrap();
    shop.open(Form::Run).unwrap();
    shop.ready().await.unwrap();
    shop
}

/// Sends [`MIX`] to a shop, and returns the result file.
fn load(shop: &Shop, scenario: &str, options: &str) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let (mix, out) = (
        folder.path().join("mix.toml"),
        folder.path().join("out.json"),
    );
    std::fs::write(&mix, MIX).unwrap();
    let (url, mix) = (shop.url("/"), mix.display());
    let command = format!(
        "{scenario} {mix} --url {url} --email {EMAIL} --warm-up 0 --out {} {options}",
        out.display()
    );
    let arguments: Vec<&str> = command.split(' ').collect();
    passes_in(&arguments, &[("KONBINI_PASSWORD", PASSWORD)]);
    let text = std::fs::read_to_string(&out).unwrap();
    assert!(!text.contains(EMAIL) && !text.contains(PASSWORD), "{text}");
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn a_result_file_has_every_operation_and_the_cost_of_every_process() {
    let shop = open_shop().await;
    let options = "--connections 8 --rate 40 --seconds 3";
    let result = load(&shop, "run", options);
    let loads = result["loads"].as_array().unwrap();
    let sum = |name: &str| -> u64 {
        let figures = loads.iter().map(|load| load[name].as_u64().unwrap());
        figures.sum()
    };
    // On a host that stood still for long, some were too late to be sent.
    let dropped = result["client"]["dropped_starts"].as_u64().unwrap();
    assert_eq!((sum("operations") + dropped, sum("failed")), (120, 0));
    assert_eq!(loads[0]["arrivals"], "constant 40/s");
    let costs = result["costs"].as_array().unwrap();
    let names = costs.iter().map(|cost| cost["name"].as_str().unwrap());
    assert_eq!(names.collect::<BTreeSet<_>>(), BTreeSet::from(SERVICES));
    let orders = costs.iter().find(|cost| cost["name"] == "orders").unwrap();
    for figure in ["syncs", "written_bytes", "processor_us"] {
        assert!(orders[figure].as_u64() > Some(0), "{figure}: {orders}");
    }

    let options = "--over connections --values 1,2 --seconds 1";
    let results = load(&shop, "sweep", options);
    let results = results.as_array().unwrap().iter();
    let values = results.map(|run| run["swept"]["value"].as_f64().unwrap());
    assert_eq!(values.collect::<Vec<_>>(), [1.0, 2.0]);
}
