//! The allocator: jemalloc, with a cache for each thread, so that threads do not
//! wait for one another, and few arenas, so that what one service frees another
//! can have.
//!
//! How it is set is decided where it is built, in `.cargo/config.toml`: two arenas,
//! and what is free for a tenth of a second goes back to the system, which a thread
//! of its own sees to. Whoever knows better says so in `_RJEM_MALLOC_CONF`.

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;
