//! placeholder
pub(super) async fn search() {}
pub(super) async fn suggest() {}
