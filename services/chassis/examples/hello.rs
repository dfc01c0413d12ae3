//! A whole service: a table and two endpoints. The chassis recovers its store, checks
//! tokens, renders problems and entity tags, and drains it at the end.
//!
//! Run it with `cargo run -p chassis --example hello`, then:
//!
//! ```text
//! curl -X PUT -H 'content-type: application/json' -d '"Hello"' ADDRESS/greeting
//! curl ADDRESS/greeting
//! ```

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::get;
use chassis::run::Started;
use chassis::{Config, Context, Error, Folder, Json, Problem, ProcessContext, etag};
use mesh::{InProcessNetwork, Mesh};
use store::{Read, Store, Table};
use tokio_util::sync::CancellationToken;

const GREETINGS: Table<u64, String> = Table::new("greetings");

/// Routes of the shop's API are rows of `api::ROUTES`, bound with `chassis::Routes`; those
/// of a service outside of it are a plain router.
fn open(ctx: Context, _: ()) -> chassis::Opening {
    Box::pin(async move {
        let router = Router::new()
            .route("/greeting", get(read).put(write))
            .with_state(ctx.store.clone());
        Ok(ctx.serve(router))
    })
}

async fn read(State(store): State<Store>, headers: HeaderMap) -> Result<Response, Problem> {
    let greeting = store.get(GREETINGS, &0)?.ok_or_else(Problem::not_found)?;
    Ok(etag::respond(&headers, &greeting))
}

async fn write(
    State(store): State<Store>,
    Json(greeting): Json<String>,
) -> Result<Response, Problem> {
    let stored = greeting.clone();
    let written = store.write(move |tx| tx.put(GREETINGS, &0, &stored));
    written.await?;
    Ok(etag::written(StatusCode::OK, &greeting))
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let folder = Folder::open_or_create(&std::env::temp_dir().join("konbini-hello"))?;
    let mesh = Mesh::new(Arc::new(InProcessNetwork::reliable()), folder.shop());
    let process = ProcessContext::new(folder, Config::default(), mesh);
    let stop = CancellationToken::new();
    let started = |started: Started| println!("http://{}", started.address);
    let interrupted = stop.clone();
    tokio::spawn(async move {
        let _ = tokio::signal::ctrl_c().await;
        interrupted.cancel();
    });
    chassis::run("hello", chassis::opener(open, ()), process, stop, started).await
}
