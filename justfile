# The commands that people type. `just` alone lists them.

_default:
    @just --list --unsorted

# A shop with 200 products on http://127.0.0.1:8080.
up *ARGS:
    cargo run --release -- up --demo {{ ARGS }}

# All tests; `just test orders` those whose name contains it.
test *FILTER:
    cargo test --workspace -- {{ FILTER }}

# Everything a change must pass, as CI runs it.
ci:
    .ci/run

# Format and lint.
lint:
    cargo fmt --all
    cargo clippy --workspace --all-targets -- -D warnings

# The house rules alone: names, prose, sizes, imports.
tidy:
    cargo test --workspace --test it tidy

# Record changed snapshots of responses and events; review the diff like code.
snapshots:
    INSTA_UPDATE=always cargo test --workspace -- responses every_kind
    find . -name '*.snap.new' -not -path './target/*' -delete

# A measurement: `just bench orders --clients 64`.
bench *ARGS:
    cargo run --release -p konbini-bench -- {{ ARGS }}

# Count the instructions of hot paths against their baseline; needs valgrind. `just instructions --update` records it.
instructions *ARGS:
    cargo bench --workspace --profile dev --bench instructions -- {{ ARGS }}

# Fuzz a target for a minute: target, head, csv, token or query. Needs a nightly toolchain and cargo-fuzz.
fuzz TARGET:
    cd fuzz && cargo +nightly fuzz run {{ TARGET }} -- -max_total_time=60
