//! Verification of a log: its places, its hashes, and where it begins and ends.

use store::Read;

use crate::log::LOG;
use crate::{Event, Log};

impl Log {
    /// Reads the whole log as it durably is, calling `seen` for each event, and returns
    /// its faults: places that are missing, hashes that do not continue
    /// the one before, events that cannot be read. Blocks for as long as that takes.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn verify(&self, mut seen: impl FnMut()) -> Result<Vec<String>, store::Error> {
        let tail = self.tail();
        let mut faults = Vec::new();
        let mut before = self.beginning()?;
        for row in self.store.scan(LOG.all().up_to(&tail.seq))? {
            let (seq, recorded) = row?;
            seen();
            if !recorded.continues(&before) {
                // Trimming may have moved the beginning meanwhile.
                let beginning = self.beginning()?;
                if beginning.seq > before.seq {
                    before = beginning;
                    if seq <= before.seq {
                        continue;
                    }
                }
                if !recorded.continues(&before) {
                    faults.push(format!(
                        "event {seq} does not continue event {}",
                        before.seq
                    ));
                }
            }
            if let Err(why) = Event::decode(&recorded.body) {
                faults.push(format!("event {seq} cannot be read: {why}"));
            }
            before = recorded.mark();
        }
        if before != tail {
            faults.push(format!(
                "it ends at event {} and should at {}",
                before.seq, tail.seq
            ));
        }
        Ok(faults)
    }
}
