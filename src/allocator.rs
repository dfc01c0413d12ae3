//! Settings of glibc's allocator, which reads them before `main` begins.
//!
//! Services hand memory from thread to thread, the database in blocks of 4 MiB.
//! By default glibc gives each thread an arena of its own, keeps what was freed
//! there, and after the first large block that is freed takes all of that size
//! from there too: a shop with 19,406 products idles at 78 MiB, and at 37 with
//! the settings below. They cost one more `exec` at the start, under a
//! millisecond.

use std::os::unix::process::CommandExt;
use std::process::Command;

/// One arena; blocks above 128 KiB straight from, and back to, the system.
const SETTINGS: [(&str, &str); 3] = [
    ("MALLOC_ARENA_MAX", "1"),
    ("MALLOC_MMAP_THRESHOLD_", "131072"),
    ("MALLOC_TRIM_THRESHOLD_", "131072"),
];

/// Starts this program again, in this process, with the settings in its
/// environment. Whoever set one of them knows better and is left alone.
pub(crate) fn settle() {
    let chosen = SETTINGS
        .iter()
        .any(|(name, _)| std::env::var_os(name).is_some());
    if chosen || !cfg!(target_env = "gnu") {
        return;
    }
    if let Ok(program) = std::env::current_exe() {
        let mut arguments = std::env::args_os();
        let name = arguments.next().unwrap_or_else(|| program.clone().into());
        // It returns only if it failed; then things are as they were.
        let _ = Command::new(program)
            .arg0(name)
            .args(arguments)
            .envs(SETTINGS)
            .exec();
    }
}
