//! The shops of these tests: processes of the binary that cargo built beside them.

use std::process::Command;

use testkit::shop::{Form, Shop, command};

const BINARY: &str = env!("CARGO_BIN_EXE_konbini");

/// The binary with a clean environment.
pub(crate) fn konbini(args: &[&str]) -> Command {
    let mut konbini = command(BINARY);
    konbini.args(args);
    konbini
}

/// A shop without processes yet.
pub(crate) fn closed() -> Shop {
    Shop::new(Some(BINARY.into())).unwrap()
}

/// A shop whose services are ready.
pub(crate) async fn open(form: Form) -> Shop {
    let mut shop = closed();
    shop.open(form).unwrap();
    shop.ready().await.unwrap();
    shop
}
