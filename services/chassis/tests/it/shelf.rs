//! A minimal service: a list of things, and a route for each kind of caller.

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use chassis::json::{IdempotencyKey, PathId};
use chassis::page::{Page, Paging};
use chassis::{Admin, Caller, Context, Json, Problem, Staff, etag};
use model::kinds;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{Read, Store, Table};
use tokio::sync::Notify;

pub(crate) const NAME: &str = "shelf";

/// The number of items in the list.
pub(crate) const NUMBERS: u64 = 25;

const LIST: Table<u64, u64> = Table::new("numbers");
const LABEL: Table<u64, String> = Table::new("label");

/// Notified when a slow request has begun, and to let it end.
pub(crate) static SLOW_BEGAN: Notify = Notify::const_new();
pub(crate) static SLOW_MAY_END: Notify = Notify::const_new();

pub(crate) fn open(ctx: Context, _: ()) -> chassis::Opening {
    Box::pin(async move {
        let filled = ctx.store.write(|tx| {
            (0..NUMBERS).try_for_each(|number| tx.put(LIST, &number, &(number * number)))
        });
        let filled: Result<(), store::Error> = filled.await;
        filled?;
        let router = Router::new()
            .route("/things", post(make))
            .route("/things/{id}", get(thing))
            .route("/numbers", get(numbers))
            .route("/label", get(label).put(relabel))
            .route("/key", post(key))
            .route("/anyone", get(anyone))
            .route("/mine", get(mine))
            // A path of the route table, whose row names a scope.
            .route("/v1/orders/{id}", get(mine))
            .route("/staff", get(staff))
            .route("/admin", get(admin))
            .route("/panic", get(panics))
            .route("/slow", get(slow))
            .with_state(ctx.store.clone());
        Ok(ctx.serve(router))
    })
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Thing {
    name: String,
    price: Price,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Price {
    amount: i64,
}

async fn make(Json(thing): Json<Thing>) -> (StatusCode, Json<Value>) {
    let made = json!({ "name_bytes": thing.name.len(), "amount": thing.price.amount });
    (StatusCode::CREATED, Json(made))
}

async fn thing(PathId(id): PathId<kinds::Product>) -> Json<Value> {
    Json(json!({ "id": id }))
}

async fn numbers(State(store): State<Store>, paging: Paging) -> Result<Json<Page<u64>>, Problem> {
    let rows = match paging.after()? {
        Some(after) => store.scan(LIST.all().after(&after))?,
        None => store.scan(LIST.all().from(&0))?,
    };
    Ok(Json(paging.collect(rows)?))
}

fn current(from: &impl Read) -> Result<String, store::Error> {
    Ok(from.get(LABEL, &0)?.unwrap_or_else(|| "blank".into()))
}

async fn label(State(store): State<Store>, headers: HeaderMap) -> Result<Response, Problem> {
    Ok(etag::respond(&headers, &current(&store)?))
}

async fn relabel(
    State(store): State<Store>,
    headers: HeaderMap,
    Json(label): Json<String>,
) -> Result<Response, Problem> {
    let (sent, next) = (headers.clone(), label.clone());
    let written = store.write(move |tx| -> Result<(), Problem> {
        etag::require_match(&sent, &current(tx)?)?;
        Ok(tx.put(LABEL, &0, &next)?)
    });
    written.await?;
    Ok(etag::written(StatusCode::OK, &label))
}

async fn key(IdempotencyKey(key): IdempotencyKey) -> Json<Option<String>> {
    Json(key)
}

async fn anyone(caller: Option<Caller>) -> Json<bool> {
    Json(caller.is_some())
}

async fn mine(caller: Caller) -> Json<Value> {
    Json(json!({ "user_id": caller.user_id }))
}

async fn staff(_: Staff) -> Json<bool> {
    Json(true)
}

async fn admin(_: Admin) -> Json<bool> {
    Json(true)
}

async fn panics() -> StatusCode {
    panic!("a handler that was not thought through")
}

async fn slow() -> Json<bool> {
    SLOW_BEGAN.notify_one();
    SLOW_MAY_END.notified().await;
    Json(true)
}
