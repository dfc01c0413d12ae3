//! How much memory a process has in use.

use std::path::Path;

use anyhow::Context;

/// Resident memory in bytes (`VmRSS`, proc(5)) of a process, by its number or as
/// `self`.
pub(crate) fn resident_bytes(process: &str) -> anyhow::Result<u64> {
    let path = Path::new("/proc").join(process).join("status");
    let status = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kib = kib.with_context(|| format!("no VmRSS in {}", path.display()))?;
    Ok(1024 * kib.parse::<u64>()?)
}
