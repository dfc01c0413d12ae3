//! The global allocator: jemalloc, with a cache per thread, which avoids contention, and
//! few arenas, so that memory freed by one service is reused by another.
//!
//! It is configured at build time in `.cargo/config.toml`: two arenas, and a background
//! thread that returns memory to the system after it was unused for a tenth of a second.
//! The environment variable `_RJEM_MALLOC_CONF` overrides this.

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;
