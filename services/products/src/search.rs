//! placeholder
use chassis::Context;
/// x
#[derive(Clone)]
pub(crate) struct Search;
impl Search {
    pub(crate) fn start(_: &Context) -> Result<Self, chassis::Error> {
        Ok(Self)
    }
}
