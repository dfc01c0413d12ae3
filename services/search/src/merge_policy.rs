//! Merge policy: which segments become one, and when.
//!
//! Each merge rewrites every term of its segments, and an import leaves a segment
//! every few seconds. Merging them by the handful would rewrite each product half a
//! dozen times while the import wants the same processors, so under bulk load more
//! segments are left alone. Afterwards all of them become one, because every search
//! looks up each of its terms in every segment, and one segment is smaller than
//! several.
//!
//! **Invariant:** searches meet some dozens of segments at most, and one and a few
//! small ones when the index is idle.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tantivy::index::SegmentMeta;
use tantivy::indexer::{LogMergePolicy, MergeCandidate, MergePolicy};

/// Segments of about one size that are merged: few small files, little memory…
const SEGMENTS_MERGED: usize = 4;
/// …and under bulk load.
const SEGMENTS_MERGED_BULK: usize = 32;
/// Without bulk load all segments become one as soon as the largest is at most this
/// many times the size of the others together: a product is rewritten some five times
/// while a catalogue grows.
const OTHERS_PER_LARGEST: u32 = 4;
/// A segment is rewritten when this part of it is deleted.
const DELETED_RATIO_MAX: f32 = 0.3;

/// How much the index is being written to; decides which segments are merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexLoad {
    /// Single changes: few segments, for the sake of searches.
    Interactive,
    /// A catalogue is being imported: merging waits.
    Bulk,
}

/// A logarithmic merge policy that takes the load into account. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct LoadAwarePolicy {
    bulk: Arc<AtomicBool>,
}

impl LoadAwarePolicy {
    /// Sets the load; it holds for every commit from now on. Returns whether it changed.
    pub(crate) fn set_load(&self, load: IndexLoad) -> bool {
        let bulk = load == IndexLoad::Bulk;
        self.bulk.swap(bulk, Ordering::Relaxed) != bulk
    }
}

impl MergePolicy for LoadAwarePolicy {
    fn compute_merge_candidates(&self, segments: &[SegmentMeta]) -> Vec<MergeCandidate> {
        let bulk = self.bulk.load(Ordering::Relaxed);
        let sizes = segments.iter().map(SegmentMeta::num_docs);
        let (all, largest) = (sizes.clone().sum::<u32>(), sizes.max().unwrap_or(0));
        if !bulk && segments.len() > 1 && (all - largest) * OTHERS_PER_LARGEST >= largest {
            return vec![MergeCandidate(
                segments.iter().map(SegmentMeta::id).collect(),
            )];
        }
        let mut by_size = LogMergePolicy::default();
        by_size.set_min_num_segments(if bulk { SEGMENTS_MERGED_BULK } else { SEGMENTS_MERGED });
        by_size.set_del_docs_ratio_before_merge(DELETED_RATIO_MAX);
        by_size.compute_merge_candidates(segments)
    }
}
