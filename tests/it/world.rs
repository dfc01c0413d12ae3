//! The shops of these tests: processes of the binary that cargo built beside them.

use std::path::PathBuf;
use std::process::Command;

use testkit::shop::{Form, Shop, command};

use crate::from_env;

/// The binary; `KONBINI_BINARY` names another build of it, for a long run.
fn binary() -> PathBuf {
    let own = || env!("CARGO_BIN_EXE_konbini").into();
    from_env("KONBINI_BINARY").map_or_else(own, PathBuf::from)
}

/// The binary with a clean environment.
pub(crate) fn konbini(args: &[&str]) -> Command {
    let mut konbini = command(binary());
    konbini.args(args);
    konbini
}

/// A shop without processes yet.
pub(crate) fn closed() -> Shop {
    Shop::new(Some(binary())).unwrap()
}

/// A shop whose services are ready.
pub(crate) async fn open(form: Form) -> Shop {
    let mut shop = closed();
    shop.open(form).unwrap();
    shop.ready().await.unwrap();
    shop
}
