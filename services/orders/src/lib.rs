//! Orders: placing, payment, fulfilment and refund.
//!
//! **Owns** orders with their lines and history, the messages of the payment provider,
//! and a projection of products' listings, so that placing an order calls no other
//! service; shipping methods, tax rates and promotions; carts.
//!
//! **Publishes** `order.placed`, `order.confirmed`, `order.rejected`, `order.paid`,
//! `order.shipped`, `order.corrected`, `order.delivered`, `order.cancelled`, `order.refunded`,
//! `order.step_undone`, `order.cancel_requested`, `order.claimed`, `order.buyer_erased`,
//! `payment.unmatched`, `payment.unreadable`, `payment.refunded`,
//! `payment.disputed`, `refund.refused` and `event.parked`, and after a rollback `order.lost` and `order.restored`. **Follows** products: listings, and `stock.reserved`,
//! `stock.refused` or `stock.released` for each order; and users: `user.erased`. **Answers**
//! `OrderOf` and `OrderBodyOf`.
//!
//! An order is placed by choreography: one transaction writes the pending order,
//! `order.placed` and the request's `Idempotency-Key`; products publishes the stock
//! outcome; one transaction here confirms or rejects the order. The request waits for
//! that, and nothing else does.
//!
//! | module | holds |
//! | --- | --- |
//! | `domain` | the order, its status machine, its limits; payments |
//! | `wire` | request and response bodies |
//! | `tables` | rows and tables |
//! | `terms` | shipping methods, tax rates and promotions: fields, tables, what pricing reads |
//! | `carts` | carts of guests and accounts |
//! | `placing` | placing: the transaction, the wait for the stock outcome |
//! | `quoting` | what items cost by the shop's terms |
//! | `commands` | pay, ship, deliver, cancel, refund, undo, the stock outcome; corrections and notes |
//! | `payments` | payment methods and attempts, payment providers, refunds by them, the webhook, money that pays no order |
//! | `queries` | answers to other services: what a message about an order says; whole orders |
//! | `customers` | guests; customers as staff see them; claiming a guest's order |
//! | `holder` | who may open an order; the tokens of guests' orders |
//! | `buyers` | the people behind orders: guests, and accounts, asked of users |
//! | `lists`, `export` | lists of orders, from the indexes; the indexes by total and product; a list as a file |
//! | `numbers` | the numbers of orders |
//! | `sales` | sums of sales, moved in the orders' transactions; the report |
//! | `check` | the consistency check |
//! | `rollback` | orders and stock that disagree after a rollback |
//! | `counters` | metrics: orders by what happened to them, money by currency |
//! | `waiters` | requests that wait for an event about their order |
//! | `expiry` | background work: unpaid orders, erasure of users |
//! | `http`, `follow`, `error` | as in every service |

mod buyers;
mod carts;
mod check;
mod commands;
pub mod config;
mod counters;
mod customers;
mod domain;
mod error;
mod expiry;
mod export;
mod follow;
mod holder;
mod http;
mod lists;
mod numbers;
mod payments;
mod placing;
mod queries;
mod quoting;
mod rollback;
mod sales;
mod tables;
mod terms;
mod waiters;
mod wire;

pub use config::Config;

use std::sync::Arc;

use chassis::mac::MacKey;
use chassis::{Backfill, Context, Opening, cache_tags, dead_letters};
use mesh::{Event, Following};
use store::{Store, Tx};

use crate::buyers::Buyers;
use crate::carts::Carts;
use crate::config::TaxConfig;
use crate::customers::erasure::ErasedGuests;
use crate::customers::guests::Guests;
use crate::domain::PaidCancellation;
use crate::error::Error;
use crate::holder::OrderTokens;
use crate::lists::SortedRuns;
use crate::numbers::Numbers;
use crate::payments::methods::OfferedMethods;
use crate::payments::providers::calls::CallQueue;
use crate::payments::providers::{self, Providers};
use crate::payments::unmatched;
use crate::payments::webhook::WebhookVerifier;
use crate::sales::{Ledger, Sums};
use crate::tables::StoredOrder;
use crate::waiters::Waiters;

/// The state of the handlers.
#[derive(Clone)]
pub(crate) struct OrdersState {
    store: Store,
    ledger: Ledger,
    /// Requests that wait for the stock outcome of an order.
    stock_outcomes: Waiters<Arc<StoredOrder>>,
    /// Requests that wait for the release of an order's stock.
    stock_releases: Waiters<()>,
    products: Following,
    buyers: Buyers,
    webhook_verifier: Arc<WebhookVerifier>,
    tax: Arc<TaxConfig>,
    methods: Arc<OfferedMethods>,
    /// The origins of pages that buyers may be sent back to.
    return_origins: Arc<[String]>,
    providers: Providers,
    /// Requests that wait for a provider to say something about their order.
    fetches: Waiters<()>,
    paid_cancellation: PaidCancellation,
    carts: Arc<Carts>,
    guests: Guests,
    erased_guests: ErasedGuests,
    order_tokens: OrderTokens,
}

/// The name of the key of tokens and of what is counted by network or address.
const KEY: &str = "carts";

/// Registers the consistency checks.
fn add_checks(ctx: &Context, ledger: &Ledger) {
    check::add(ctx, ledger);
    terms::check::add(ctx);
    carts::check::add(ctx);
}

/// Opens the service.
pub fn open(ctx: Context, config: Config) -> Opening {
    Box::pin(async move {
        counters::register();
        let secrets = config.payments.all_secrets()?;
        let numbers = Numbers::new(&config.orders);
        numbers.start(&ctx).await?;
        let listing = Backfill::new("payments that pay no order", tables::PAYMENTS, &[]);
        listing.start(&ctx, unmatched::list_known).await?;
        let runs = SortedRuns::default();
        runs.start(&ctx, &numbers.backfill).await?;
        let calls = CallQueue::default();
        let ledger = Ledger {
            log: ctx.log.clone(),
            sums: Sums::new(),
            runs,
            numbers,
            calls,
        };
        ledger.sums.start(&ctx).await?;
        let key = Arc::new(MacKey::open(&ctx, KEY)?);
        let erased_guests = ErasedGuests::open(&ctx).await?;
        add_checks(&ctx, &ledger);
        let carts = Arc::new(Carts::new(key.clone()));
        let stock_outcomes = Waiters::default();
        let stock_releases = Waiters::default();
        let follower = follow::ProductsFollower {
            ledger: ledger.clone(),
            stock_outcomes: stock_outcomes.clone(),
            stock_releases: stock_releases.clone(),
            unpaid_expire: config.orders.unpaid_expire(),
        };
        let on_event = move |tx: &mut Tx<'_>, event: &Event| follower.on_event(tx, event);
        let products = ctx.follow("products", on_event).await?;
        let users = ctx.follow("users", follow::on_users_event).await?;
        dead_letters::publish(&ctx, vec![products.clone(), users]);
        queries::start(&ctx).await?;
        let providers = Providers::new(&config.payments, config.public_url.as_deref())?;
        let fetches = Waiters::default();
        providers::worker::start(&ctx, &ledger, &providers, &fetches);
        let expiry = expiry::run(ctx.store.clone(), ledger.clone());
        ctx.tasks
            .spawn(ctx.stop.clone().run_until_cancelled_owned(expiry));
        let state = OrdersState {
            store: ctx.store.clone(),
            ledger,
            stock_outcomes,
            stock_releases,
            products: products.clone(),
            buyers: Buyers::new(ctx.mesh.clone()),
            webhook_verifier: Arc::new(WebhookVerifier::new(secrets)),
            tax: Arc::new(config.tax),
            methods: Arc::new(OfferedMethods::new(
                &config.orders,
                &config.payments,
                providers.methods(),
            )),
            return_origins: config.payments.return_origins.into(),
            providers,
            fetches,
            paid_cancellation: config.orders.paid_cancellation(),
            carts,
            guests: Guests::new(key.clone()),
            erased_guests,
            order_tokens: OrderTokens::new(key),
        };
        let endpoints = http::endpoints(state.clone());
        // A response names the events of products it rests on: after an order for the
        // last unit, the gateway's cached product is stale.
        let service =
            ctx.serve(endpoints.map(|router| cache_tags::with_applied(router, products.clone())));
        Ok(service.with_control(http::control(state)))
    })
}
