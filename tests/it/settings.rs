//! Settings of the environment, and the commands about settings.

use std::process::Output;

use serde_json::Value;
use testkit::shop::Form;

use crate::world::{closed, konbini};

/// The exit code, the lines of standard output, and standard error of a command on a shop.
fn run(data: &str, words: &str, variables: &[(&str, &str)]) -> (Option<i32>, Vec<String>, String) {
    let words: Vec<_> = words.split(' ').collect();
    let mut command = konbini(&words);
    command
        .args(["--data", data])
        .envs(variables.iter().copied());
    let Output { status, stdout, stderr } = command.output().unwrap();
    let lines = String::from_utf8(stdout).unwrap();
    let lines = lines.lines().map(str::to_owned).collect();
    (status.code(), lines, String::from_utf8(stderr).unwrap())
}

#[test]
fn every_setting_is_printed_with_its_origin() {
    let shop = closed();
    shop.init().unwrap();
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    shop.configure(&format!(
        "[store]\ncache_mib = 8\n[payments]\nsecrets = [\"{secret}\"]\n"
    ))
    .unwrap();
    let data = shop.data().display().to_string();
    let variables = [
        ("KONBINI_KEYS_ROTATE_DAYS", "30"),
        ("KONBINI_LISTEN", "127.0.0.1:9"),
    ];
    let (code, lines, said) = run(&data, "config print", &variables);
    assert_eq!(code, Some(0), "{said}");
    assert!(lines.len() > 60, "{lines:#?}");
    assert!(!lines.join("\n").contains(secret), "{lines:#?}");
    let (_, changed, _) = run(&data, "config print --changed", &variables);
    let file = std::fs::canonicalize(shop.data())
        .unwrap()
        .join("konbini.toml");
    let expected = [
        "gateway.listen\t127.0.0.1:9\t--listen, or KONBINI_LISTEN".to_owned(),
        "keys.rotate_days\t30\tKONBINI_KEYS_ROTATE_DAYS".to_owned(),
        format!("payments.secrets\t[\"(a secret)\"]\t{}:4", file.display()),
        format!("store.cache_mib\t8\t{}:2", file.display()),
    ];
    assert_eq!(changed, expected);
    let (_, documents, _) = run(&data, "config print --json --changed", &variables);
    let one: Value = serde_json::from_str(&documents[3]).unwrap();
    assert_eq!(
        (&one["value"], &one["from"], &one["line"]),
        (&8.into(), &"file".into(), &2.into())
    );
}

/// A preview is made of the shop's own settings and templates.
#[test]
fn a_mail_is_previewed_as_the_shop_sends_it() {
    let shop = closed();
    shop.init().unwrap();
    shop.configure("[notifications]\nshop = \"Mori\"\nshop_address = [\"Kobe\"]\n")
        .unwrap();
    let templates = shop.data().join("templates/en");
    std::fs::create_dir_all(&templates).unwrap();
    let text = "Parcel of {{ shop }}\n\nWith {{ order.carrier }}.\n";
    std::fs::write(templates.join("order.shipped.txt"), text).unwrap();
    let data = shop.data().display().to_string();
    let (code, lines, said) = run(&data, "mail preview order.shipped", &[]);
    assert_eq!(
        (code, lines[0].as_str()),
        (Some(0), "Subject: Parcel of Mori"),
        "{said}"
    );
    for line in ["With DHL.", "Delivery address:", "Kobe"] {
        assert!(lines.iter().any(|one| one == line), "{line} in {lines:#?}");
    }
    let (_, lines, _) = run(&data, "mail preview order.shipped --lang de-AT", &[]);
    assert_eq!(lines[0], "Subject: Ihre Bestellung ist unterwegs");
    let (_, lines, _) = run(&data, "mail preview order.shipped --html", &[]);
    assert_eq!(
        (lines[0].as_str(), lines.last().unwrap().as_str()),
        ("<!doctype html>", "</html>")
    );
    // One that cannot be used is named, and the built-in one is shown.
    std::fs::write(
        templates.join("order.shipped.txt"),
        "Parcel\n\n{{ carrier }}",
    )
    .unwrap();
    let (_, lines, said) = run(&data, "mail preview order.shipped", &[]);
    assert_eq!(lines[0], "Subject: Your order is on its way");
    assert!(said.contains("order.shipped.txt"), "{said}");
    assert_eq!(run(&data, "mail preview order.teleported", &[]).0, Some(2));
}

#[test]
fn every_fault_is_named_and_a_misspelt_variable_starts_nothing() {
    let shop = closed();
    shop.init().unwrap();
    let data = shop.data().display().to_string();
    let (code, lines, _) = run(&data, "config check", &[]);
    assert_eq!((code, lines.len()), (Some(0), 1), "{lines:?}");

    let misspelt = [("KONBINI_GATEWAY_LISTN", "127.0.0.1:0")];
    for words in ["up", "run users", "config print", "check"] {
        let (code, _, said) = run(&data, words, &misspelt);
        assert_eq!(code, Some(78), "{words}: {said}");
        let named = said.contains(
            "KONBINI_GATEWAY_LISTN: there is no such setting; did you mean KONBINI_GATEWAY_LISTEN?",
        );
        assert!(named, "{words}: {said}");
    }

    shop.configure("[store]\ncache_mib = 0\n[gateway]\nport = 1\n")
        .unwrap();
    let (code, lines, said) = run(&data, "config check", &misspelt);
    assert_eq!((code, lines.len()), (Some(78), 3), "{lines:?} {said}");
    assert!(said.contains("the settings have 3 faults"), "{said}");

    // Faults of files that settings name.
    let templates = shop.data().join("templates/en");
    std::fs::create_dir_all(&templates).unwrap();
    std::fs::write(templates.join("order.shipped.txt"), "Shipped\n\n{% if %}\n").unwrap();
    shop.configure(
        "[gateway.tls]\ncertificate = \"/nowhere/chain.pem\"\nkey = \"/nowhere/key.pem\"\n\
         [mail]\nserver = \"127.0.0.1\"\nfrom = \"shop@konbini.example\"\nuser = \"shop\"\npassword_file = \"/nowhere/password\"\n",
    )
    .unwrap();
    let (code, lines, _) = run(&data, "config check --json", &[]);
    let found: Value = serde_json::from_str(&lines[0]).unwrap();
    let faults: Vec<_> = found["faults"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| fault["why"].as_str().unwrap())
        .collect();
    assert_eq!((code, faults.len()), (Some(78), 3), "{faults:#?}");
    for part in [
        "/nowhere/password",
        "order.shipped.txt: line 3",
        "/nowhere/chain.pem",
    ] {
        assert!(
            faults.iter().any(|fault| fault.contains(part)),
            "{part}: {faults:#?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_runs_by_variables() {
    let mut shop = closed();
    shop.init().unwrap();
    shop.configure("[gateway.cors]\norigins = [\"https://a.example\"]\n")
        .unwrap();
    shop.set_variable(
        "KONBINI_GATEWAY_CORS_ORIGINS",
        "https://b.example,https://c.example",
    );
    shop.open(Form::Run).unwrap();
    shop.ready().await.unwrap();
    for (origin, is_allowed) in [("https://a.example", false), ("https://c.example", true)] {
        let client = reqwest::Client::new();
        let response = client
            .get(shop.url("/v1/products"))
            .header("origin", origin);
        let response = response.send().await.unwrap();
        let allowed = response
            .headers()
            .contains_key("access-control-allow-origin");
        assert_eq!(allowed, is_allowed, "{origin}");
    }
    shop.terminate_all().await.unwrap();
}
