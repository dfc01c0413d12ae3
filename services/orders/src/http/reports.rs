//! `GET /v1/reports/sales`: what the sums of sales say.

use axum::extract::{Query, State};
use chassis::{Json, Problem, Staff, check};
use model::{Day, NotADay, now};
use serde::Deserialize;

use super::lists::chosen;
use crate::sales::{self, SalesReport};
use crate::{Error, OrdersState};

/// The days of a report.
const DAYS_MAX: u16 = 400;
/// The days of a report that names none: those up to today.
const DAYS_USUAL: u16 = 30;

#[derive(Debug, Deserialize)]
pub(super) struct ReportQuery {
    from: Option<String>,
    to: Option<String>,
    by: Option<String>,
}

/// What a report has an item for.
#[derive(Debug, Clone, Copy)]
enum ReportBy {
    Day,
    Product,
    Category,
}

const GROUPS: [(&str, ReportBy); 3] = [
    ("day", ReportBy::Day),
    ("product", ReportBy::Product),
    ("category", ReportBy::Category),
];

pub(super) async fn sales(
    State(state): State<OrdersState>,
    Staff(_): Staff,
    Query(query): Query<ReportQuery>,
) -> Result<Json<SalesReport>, Problem> {
    let by = chosen("by", query.by.as_deref(), &GROUPS)?.unwrap_or(ReportBy::Day);
    let end = day("to", query.to.as_deref())?.unwrap_or_else(|| now().day().next());
    let usual = || Day(end.0.saturating_sub(DAYS_USUAL));
    let first = day("from", query.from.as_deref())?.unwrap_or_else(usual);
    if first >= end || end.0 - first.0 > DAYS_MAX {
        let why = format!("`to` must be 1 to {DAYS_MAX} days after `from`");
        return Err(Problem::bad_request(why));
    }
    state.ledger.sums.require()?;
    let store = state.store.clone();
    let read = move || {
        Ok::<_, Error>(match by {
            ReportBy::Day => sales::by_day(&store, first, end)?,
            ReportBy::Product => sales::by_product(&store, first, end)?,
            ReportBy::Category => sales::by_category(&store, first, end)?,
        })
    };
    Ok(Json(check::blocking(read).await?))
}

/// The value of a parameter that is a day.
fn day(name: &str, given: Option<&str>) -> Result<Option<Day>, Problem> {
    let day = given.map(str::parse).transpose();
    day.map_err(|why: NotADay| Problem::bad_request(format!("`{name}`: {why}")))
}
