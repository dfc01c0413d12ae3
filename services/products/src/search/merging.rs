//! Which segments of the index become one, and when.
//!
//! Each merge writes every term of its segments anew, and a catalogue that comes in
//! leaves a segment every few seconds: merged by the handful, each product is rewritten
//! half a dozen times while the import wants the same processors. So as long as much
//! comes, more segments are let be. Once it is over all of them become one, since
//! every search looks each of its words up in every segment, and one segment is
//! smaller than several.
//!
//! **Invariant:** searches meet no more than some dozens of segments at any time, and
//! one and a few small ones when nothing comes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tantivy::index::SegmentMeta;
use tantivy::indexer::{LogMergePolicy, MergeCandidate, MergePolicy};

/// Segments of about one size that are merged: few small files, little memory…
const SEGMENTS_MERGED: usize = 4;
/// …and while much comes.
const SEGMENTS_MERGED_BUSY: usize = 32;
/// When nothing much comes, all become one as soon as the largest is no more than so
/// many times all others together: a product is rewritten some five times while a catalogue grows.
const OTHERS_PER_LARGEST: u32 = 4;
/// A segment is rewritten when this part of it is deleted.
const DELETED_RATIO_MAX: f32 = 0.3;

/// Merges by how busy the index is. Clones share that.
#[derive(Debug, Clone, Default)]
pub(super) struct Merging {
    busy: Arc<AtomicBool>,
}

impl Merging {
    /// Takes in whether much comes; holds for every commit from now on. Whether it
    /// was different before.
    pub(super) fn set_busy(&self, busy: bool) -> bool {
        self.busy.swap(busy, Ordering::Relaxed) != busy
    }
}

impl MergePolicy for Merging {
    fn compute_merge_candidates(&self, segments: &[SegmentMeta]) -> Vec<MergeCandidate> {
        let busy = self.busy.load(Ordering::Relaxed);
        let sizes = segments.iter().map(SegmentMeta::num_docs);
        let (all, largest) = (sizes.clone().sum::<u32>(), sizes.max().unwrap_or(0));
        if !busy && segments.len() > 1 && (all - largest) * OTHERS_PER_LARGEST >= largest {
            return vec![MergeCandidate(
                segments.iter().map(SegmentMeta::id).collect(),
            )];
        }
        let mut by_size = LogMergePolicy::default();
        by_size.set_min_num_segments(if busy { SEGMENTS_MERGED_BUSY } else { SEGMENTS_MERGED });
        by_size.set_del_docs_ratio_before_merge(DELETED_RATIO_MAX);
        by_size.compute_merge_candidates(segments)
    }
}
