//! The rows, by service.

use crate::route::Access::{Admin, Anyone, Customer, Holder, HostOrAdmin, ProvenByBody, Staff};
use crate::route::Route;
use crate::route::Service::{Each, Gateway, Notifications, Orders, Products, Users};
use crate::scope::KeyScope::{
    CatalogueRead, CatalogueWrite, CustomersRead, EventsRead, OrdersRead, OrdersWrite, ReportsRead,
};

/// A static for each row, and [`ROUTES`] with all of them.
macro_rules! routes {
    ($($(#[$doc:meta])* $name:ident = $route:expr;)*) => {
        $($(#[$doc])* pub static $name: Route = $route;)*

        /// Every route.
        pub static ROUTES: &[&Route] = &[$(&$name),*];
    };
}

routes! {
    /// Registers an account.
    REGISTER = Route::post("/v1/users", Users, ProvenByBody);
    /// Makes the first admin, by the link that the start of the shop prints.
    SET_UP = Route::post("/v1/setup", Users, ProvenByBody);
    /// Lists accounts.
    LIST_USERS = Route::get("/v1/users", Users, Admin).query(&["limit", "cursor", "email"]).scope(CustomersRead);
    /// Shows an account.
    GET_USER = Route::get("/v1/users/{id}", Users, Admin).scope(CustomersRead);
    /// Changes the roles or the status of an account.
    PATCH_USER = Route::patch("/v1/users/{id}", Users, Admin);
    /// Erases an account.
    ERASE_USER = Route::delete("/v1/users/{id}", Users, Admin);
    /// Shows the caller's account.
    GET_ME = Route::get("/v1/users/me", Users, Customer);
    /// Changes the caller's name or e-mail address.
    PATCH_ME = Route::patch("/v1/users/me", Users, Customer);
    /// Erases the caller's account.
    ERASE_ME = Route::delete("/v1/users/me", Users, Customer);
    /// Changes the caller's password.
    CHANGE_PASSWORD = Route::post("/v1/users/me/password", Users, Customer);
    /// Makes the secret of a second factor, which counts once it is confirmed.
    REQUEST_SECOND_FACTOR = Route::post("/v1/users/me/totp", Users, Customer);
    /// Enrols that second factor, by a code of it.
    CONFIRM_SECOND_FACTOR = Route::post("/v1/users/me/totp/confirm", Users, Customer);
    /// Removes the caller's second factor.
    REMOVE_SECOND_FACTOR = Route::delete("/v1/users/me/totp", Users, Customer);
    /// Removes the second factor of an account whose owner has lost it.
    RESET_SECOND_FACTOR = Route::delete("/v1/users/{id}/totp", Users, Admin);
    /// Exports everything held about the caller.
    EXPORT_ME = Route::get("/v1/users/me/export", Users, Customer);
    /// Lists the caller's address book.
    LIST_ADDRESSES = Route::get("/v1/users/me/addresses", Users, Customer).query(&["limit", "cursor"]);
    /// Adds an address to it.
    ADD_ADDRESS = Route::post("/v1/users/me/addresses", Users, Customer);
    /// Shows an address of it.
    GET_ADDRESS = Route::get("/v1/users/me/addresses/{id}", Users, Customer);
    /// Replaces an address of it.
    REPLACE_ADDRESS = Route::put("/v1/users/me/addresses/{id}", Users, Customer);
    /// Removes an address of it.
    REMOVE_ADDRESS = Route::delete("/v1/users/me/addresses/{id}", Users, Customer);
    /// Sends a code to the caller's address.
    VERIFY_EMAIL = Route::post("/v1/users/me/verify-email", Users, Customer);
    /// Confirms the caller's address by that code.
    CONFIRM_EMAIL = Route::post("/v1/users/me/verify-email/confirm", Users, Customer);
    /// Makes a new address of the caller count, by the code that was sent to it.
    CONFIRM_EMAIL_CHANGE = Route::post("/v1/users/me/email/confirm", Users, Customer);
    /// Gives an account its former address back.
    UNDO_EMAIL_CHANGE = Route::post("/v1/users/email-change/undo", Users, ProvenByBody);
    /// Sends a code for a new password.
    RESET_PASSWORD = Route::post("/v1/users/password-reset", Users, ProvenByBody);
    /// Sets a new password by that code.
    CONFIRM_RESET = Route::post("/v1/users/password-reset/confirm", Users, ProvenByBody);
    /// Makes an API key.
    CREATE_API_KEY = Route::post("/v1/api-keys", Users, Staff);
    /// Lists API keys.
    LIST_API_KEYS = Route::get("/v1/api-keys", Users, Staff).query(&["limit", "cursor"]);
    /// Revokes an API key.
    REVOKE_API_KEY = Route::delete("/v1/api-keys/{id}", Users, Staff);
    /// Logs in.
    LOG_IN = Route::post("/v1/sessions", Users, ProvenByBody);
    /// Renews an access token.
    REFRESH_SESSION = Route::post("/v1/sessions/refresh", Users, ProvenByBody);
    /// Lists the caller's sessions.
    LIST_SESSIONS = Route::get("/v1/sessions", Users, Customer).query(&["limit", "cursor"]);
    /// Ends all of the caller's sessions.
    END_SESSIONS = Route::delete("/v1/sessions", Users, Customer);
    /// Logs out, by an access token or a refresh token.
    LOG_OUT = Route::delete("/v1/sessions/current", Users, Anyone);
    /// Ends one of the caller's sessions.
    END_SESSION = Route::delete("/v1/sessions/{id}", Users, Customer);
    /// Lists the sessions of an account.
    LIST_USER_SESSIONS = Route::get("/v1/users/{id}/sessions", Users, Admin).query(&["limit", "cursor"]);
    /// Ends all sessions of an account.
    END_USER_SESSIONS = Route::delete("/v1/users/{id}/sessions", Users, Admin);
    /// Ends a session of an account.
    END_USER_SESSION = Route::delete("/v1/users/{id}/sessions/{sid}", Users, Admin);
    /// Publishes the keys that sign access tokens.
    GET_KEYS = Route::get("/.well-known/paserk.json", Users, Anyone);

    /// Lists products.
    LIST_PRODUCTS = Route::get("/v1/products", Products, Anyone).query(&["limit", "cursor", "category", "brand", "sort", "status"]).scope(CatalogueRead);
    /// Creates a product.
    CREATE_PRODUCT = Route::post("/v1/products", Products, Staff).scope(CatalogueWrite);
    /// Searches the catalogue.
    SEARCH_PRODUCTS = Route::get("/v1/products/search", Products, Anyone).query(&["q", "category", "brand", "tags", "price_min", "price_max", "available", "sort", "limit", "offset", "facets", "facet_limit", "attr.*"]).scope(CatalogueRead);
    /// Completes a search term.
    SUGGEST = Route::get("/v1/products/suggest", Products, Anyone).query(&["q"]).scope(CatalogueRead);
    /// Imports a catalogue.
    IMPORT_PRODUCTS = Route::post("/v1/products/import", Products, Staff).bulk().query(&["currency", "mode", "stock", "dry_run", "encoding", "format"]).scope(CatalogueWrite);
    /// Exports the catalogue.
    EXPORT_PRODUCTS = Route::get("/v1/products/export", Products, Staff).bulk().query(&["format"]).scope(CatalogueRead);
    /// Shows a product by its SKU.
    GET_PRODUCT_BY_SKU = Route::get("/v1/products/by-sku/{sku}", Products, Anyone).scope(CatalogueRead);
    /// Shows a product.
    GET_PRODUCT = Route::get("/v1/products/{id}", Products, Anyone).scope(CatalogueRead);
    /// Replaces a product.
    PUT_PRODUCT = Route::put("/v1/products/{id}", Products, Staff).scope(CatalogueWrite);
    /// Changes fields of a product.
    PATCH_PRODUCT = Route::patch("/v1/products/{id}", Products, Staff).scope(CatalogueWrite);
    /// Deletes a product.
    DELETE_PRODUCT = Route::delete("/v1/products/{id}", Products, Staff).scope(CatalogueWrite);
    /// Shows a product's stock.
    GET_STOCK = Route::get("/v1/products/{id}/stock", Products, Staff).scope(CatalogueRead);
    /// Corrects a product's stock.
    ADJUST_STOCK = Route::post("/v1/products/{id}/stock", Products, Staff).idempotent().scope(CatalogueWrite);
    /// Sets a product's stock.
    SET_STOCK = Route::put("/v1/products/{id}/stock", Products, Staff).scope(CatalogueWrite);
    /// Lists categories.
    LIST_CATEGORIES = Route::get("/v1/categories", Products, Anyone).scope(CatalogueRead);
    /// Renames a category and all below it.
    RENAME_CATEGORY = Route::post("/v1/categories/rename", Products, Staff).scope(CatalogueWrite);

    /// Lists orders.
    LIST_ORDERS = Route::get("/v1/orders", Orders, Customer).query(&["limit", "cursor", "q", "status", "user_id", "product_id", "created_from", "created_to", "sort"]).scope(OrdersRead);
    /// Exports orders.
    EXPORT_ORDERS = Route::get("/v1/orders/export", Orders, Staff).bulk().query(&["q", "status", "user_id", "product_id", "created_from", "created_to", "sort", "format"]).scope(OrdersRead);
    /// Makes a cart.
    CREATE_CART = Route::post("/v1/carts", Orders, Anyone);
    /// Shows a cart, priced now.
    GET_CART = Route::get("/v1/carts/{id}", Orders, Anyone);
    /// Changes the details of a cart.
    PATCH_CART = Route::patch("/v1/carts/{id}", Orders, Anyone);
    /// Adds units of a product to a cart.
    ADD_CART_ITEM = Route::post("/v1/carts/{id}/items", Orders, Anyone);
    /// Sets the units of a product in a cart.
    SET_CART_ITEM = Route::patch("/v1/carts/{id}/items/{product_id}", Orders, Anyone);
    /// Removes a product from a cart.
    REMOVE_CART_ITEM = Route::delete("/v1/carts/{id}/items/{product_id}", Orders, Anyone);
    /// Lists the shipping methods that fit a cart.
    LIST_SHIPPING_OPTIONS = Route::get("/v1/carts/{id}/shipping-options", Orders, Anyone);
    /// Gives a cart to the caller.
    CLAIM_CART = Route::post("/v1/carts/{id}/claim", Orders, Customer);
    /// Orders what is in a cart.
    COMPLETE_CART = Route::post("/v1/carts/{id}/complete", Orders, Anyone).idempotent();
    /// Places an order.
    PLACE_ORDER = Route::post("/v1/orders", Orders, Customer).idempotent().scope(OrdersWrite);
    /// Shows an order.
    GET_ORDER = Route::get("/v1/orders/{id}", Orders, Holder).scope(OrdersRead);
    /// Corrects the address or the parcel of an order.
    PATCH_ORDER = Route::patch("/v1/orders/{id}", Orders, Staff).scope(OrdersWrite);
    /// Adds a note of staff's to an order.
    ADD_ORDER_NOTE = Route::post("/v1/orders/{id}/notes", Orders, Staff).idempotent().scope(OrdersWrite);
    /// Shows an order's history.
    GET_ORDER_HISTORY = Route::get("/v1/orders/{id}/history", Orders, Holder).scope(OrdersRead);
    /// Cancels an order.
    CANCEL_ORDER = Route::post("/v1/orders/{id}/cancel", Orders, Holder).idempotent().scope(OrdersWrite);
    /// Gives a guest's order to the caller.
    CLAIM_ORDER = Route::post("/v1/orders/{id}/claim", Orders, Customer);
    /// Records an order as paid.
    PAY_ORDER = Route::post("/v1/orders/{id}/pay", Orders, Staff).idempotent().scope(OrdersWrite);
    /// Records an order as shipped.
    SHIP_ORDER = Route::post("/v1/orders/{id}/ship", Orders, Staff).idempotent().scope(OrdersWrite);
    /// Records an order as delivered.
    DELIVER_ORDER = Route::post("/v1/orders/{id}/deliver", Orders, Staff).idempotent().scope(OrdersWrite);
    /// Refunds an order, in part or in full.
    REFUND_ORDER = Route::post("/v1/orders/{id}/refund", Orders, Staff).idempotent().scope(OrdersWrite);
    /// Undoes the last step of an order.
    UNDO_ORDER_STEP = Route::post("/v1/orders/{id}/undo", Orders, Staff).idempotent().scope(OrdersWrite);
    /// Reports sales.
    SALES_REPORT = Route::get("/v1/reports/sales", Orders, Staff).query(&["from", "to", "by"]).scope(ReportsRead);
    /// Lists customers.
    LIST_CUSTOMERS = Route::get("/v1/customers", Orders, Staff).query(&["limit", "cursor", "q"]).scope(CustomersRead);
    /// Shows a customer.
    GET_CUSTOMER = Route::get("/v1/customers/{id}", Orders, Staff).scope(CustomersRead);
    /// Erases a guest.
    ERASE_CUSTOMER = Route::delete("/v1/customers/{id}", Orders, Admin);
    /// Lists shipping methods.
    LIST_SHIPPING_METHODS = Route::get("/v1/shipping-methods", Orders, Anyone).query(&["limit", "cursor"]).scope(CatalogueRead);
    /// Makes a shipping method.
    CREATE_SHIPPING_METHOD = Route::post("/v1/shipping-methods", Orders, Admin);
    /// Shows a shipping method.
    GET_SHIPPING_METHOD = Route::get("/v1/shipping-methods/{id}", Orders, Anyone).scope(CatalogueRead);
    /// Replaces a shipping method.
    PUT_SHIPPING_METHOD = Route::put("/v1/shipping-methods/{id}", Orders, Admin);
    /// Deletes a shipping method.
    DELETE_SHIPPING_METHOD = Route::delete("/v1/shipping-methods/{id}", Orders, Admin);
    /// Lists tax rates.
    LIST_TAX_RATES = Route::get("/v1/tax-rates", Orders, Anyone).query(&["limit", "cursor"]).scope(CatalogueRead);
    /// Makes a tax rate.
    CREATE_TAX_RATE = Route::post("/v1/tax-rates", Orders, Admin);
    /// Shows a tax rate.
    GET_TAX_RATE = Route::get("/v1/tax-rates/{id}", Orders, Anyone).scope(CatalogueRead);
    /// Replaces a tax rate.
    PUT_TAX_RATE = Route::put("/v1/tax-rates/{id}", Orders, Admin);
    /// Deletes a tax rate.
    DELETE_TAX_RATE = Route::delete("/v1/tax-rates/{id}", Orders, Admin);
    /// Lists promotions.
    LIST_PROMOTIONS = Route::get("/v1/promotions", Orders, Admin).query(&["limit", "cursor"]);
    /// Makes a promotion.
    CREATE_PROMOTION = Route::post("/v1/promotions", Orders, Admin);
    /// Shows a promotion.
    GET_PROMOTION = Route::get("/v1/promotions/{id}", Orders, Admin);
    /// Replaces a promotion.
    PUT_PROMOTION = Route::put("/v1/promotions/{id}", Orders, Admin);
    /// Deletes a promotion.
    DELETE_PROMOTION = Route::delete("/v1/promotions/{id}", Orders, Admin);
    /// Lists the payment methods of the shop.
    LIST_PAYMENT_METHODS = Route::get("/v1/payment-methods", Orders, Anyone);
    /// Opens an attempt to pay an order.
    OPEN_PAYMENT = Route::post("/v1/orders/{id}/payments", Orders, Holder).idempotent().scope(OrdersWrite);
    /// Lists the attempts to pay an order, and its refunds.
    LIST_PAYMENTS = Route::get("/v1/orders/{id}/payments", Orders, Holder).scope(OrdersRead);
    /// Lists money that pays no order.
    LIST_UNMATCHED_PAYMENTS = Route::get("/v1/payments/unmatched", Orders, Staff).query(&["limit", "cursor"]).scope(OrdersRead);
    /// Takes a payment provider's signed message.
    PAYMENT_WEBHOOK = Route::post("/v1/payments/webhook", Orders, ProvenByBody);
    /// Takes Stripe's hint that a payment is worth a look.
    STRIPE_WEBHOOK = Route::post("/v1/payments/stripe/webhook", Orders, ProvenByBody);
    /// Takes Mollie's hint that a payment is worth a look.
    MOLLIE_WEBHOOK = Route::post("/v1/payments/mollie/webhook", Orders, ProvenByBody);

    /// Lists the caller's notifications.
    LIST_NOTIFICATIONS = Route::get("/v1/notifications", Notifications, Customer).query(&["limit", "cursor", "unread"]);
    /// Marks all of the caller's notifications as read.
    READ_NOTIFICATIONS = Route::post("/v1/notifications/read", Notifications, Customer);
    /// Marks a notification as read.
    READ_NOTIFICATION = Route::post("/v1/notifications/{id}/read", Notifications, Customer);
    /// Streams the notifications of the caller, or of the holder of a ticket.
    STREAM_NOTIFICATIONS = Route::get("/v1/notifications/stream", Notifications, Anyone).streaming().query(&["ticket", "lastEventId"]);
    /// Makes a ticket, with which a browser opens that stream.
    CREATE_STREAM_TICKET = Route::post("/v1/notifications/stream-ticket", Notifications, Customer);
    /// Shows by which channels the caller is notified of each kind.
    GET_NOTIFICATION_PREFERENCES =
        Route::get("/v1/notifications/preferences", Notifications, Customer);
    /// Replaces what the caller chose of them.
    PUT_NOTIFICATION_PREFERENCES =
        Route::put("/v1/notifications/preferences", Notifications, Customer);
    /// Sends a mail that was given up again.
    RESEND_MAIL = Route::post("/v1/mails/{id}/resend", Notifications, Staff);
    /// Lists webhooks.
    LIST_WEBHOOKS = Route::get("/v1/webhooks", Notifications, Admin).query(&["limit", "cursor"]);
    /// Registers a webhook.
    CREATE_WEBHOOK = Route::post("/v1/webhooks", Notifications, Admin);
    /// Lists the kinds of events that webhooks may subscribe to.
    LIST_EVENT_KINDS = Route::get("/v1/webhooks/kinds", Notifications, Admin);
    /// Shows a webhook.
    GET_WEBHOOK = Route::get("/v1/webhooks/{id}", Notifications, Admin);
    /// Changes a webhook.
    PATCH_WEBHOOK = Route::patch("/v1/webhooks/{id}", Notifications, Admin);
    /// Sends a webhook a test event.
    TEST_WEBHOOK = Route::post("/v1/webhooks/{id}/test", Notifications, Admin);
    /// Deletes a webhook.
    DELETE_WEBHOOK = Route::delete("/v1/webhooks/{id}", Notifications, Admin);
    /// Gives a webhook a new secret.
    ROTATE_WEBHOOK = Route::post("/v1/webhooks/{id}/rotate", Notifications, Admin);
    /// Enables a webhook that was disabled.
    ENABLE_WEBHOOK = Route::post("/v1/webhooks/{id}/enable", Notifications, Admin);
    /// Lists the deliveries of a webhook.
    LIST_DELIVERIES = Route::get("/v1/webhooks/{id}/deliveries", Notifications, Admin).query(&["limit", "cursor"]);
    /// Sends a delivery again.
    REDELIVER =
        Route::post("/v1/webhooks/{id}/deliveries/{message}/redeliver", Notifications, Admin);

    /// Shows the status of every service.
    GET_STATUS = Route::get("/v1/status", Each, Admin);
    /// Lists the events of every service.
    LIST_EVENTS = Route::get("/v1/events", Each, Admin).query(&["limit", "cursor", "source", "after", "kind"]).scope(EventsRead);
    /// Streams the events of a service.
    STREAM_EVENTS = Route::get("/v1/events/stream", Each, Admin).streaming().query(&["source", "kind", "lastEventId"]).scope(EventsRead);
    /// Lists events that no handler could apply.
    LIST_DEAD_LETTERS = Route::get("/v1/events/dead-letters", Each, Admin).query(&["limit"]);
    /// Discards such an event.
    DISCARD_DEAD_LETTER = Route::delete("/v1/events/dead-letters/{id}", Each, Admin);
    /// Applies such an event again.
    RETRY_DEAD_LETTER = Route::post("/v1/events/dead-letters/{id}/retry", Each, Admin);

    /// Where to go from here: a page for browsers, an index for programs.
    GET_HOME = Route::get("/", Gateway, Anyone).page();
    /// Whether the gateway serves.
    GET_LIVEZ = Route::get("/livez", Gateway, Anyone);
    /// Whether every service is there and caught up.
    GET_READYZ = Route::get("/readyz", Gateway, Anyone);
    /// Metrics as Prometheus text.
    GET_METRICS = Route::get("/metrics", Gateway, HostOrAdmin);
    /// The API as an OpenAPI document.
    GET_OPENAPI = Route::get("/openapi.json", Gateway, Anyone);
    /// The API as a page.
    GET_DOCS = Route::get("/docs", Gateway, Anyone).page();
    /// The console.
    GET_CONSOLE = Route::get("/_/", Gateway, Anyone).page();
    /// The console's script.
    GET_CONSOLE_SCRIPT = Route::get("/_/console.js", Gateway, Anyone);
    /// The script of logins, which the console's imports.
    GET_SESSION_SCRIPT = Route::get("/_/session.js", Gateway, Anyone);
    /// The minor digits of currencies as a script, which the console's imports.
    GET_CURRENCIES_SCRIPT = Route::get("/_/currencies.js", Gateway, Anyone);
    /// The style sheet of the pages for people.
    GET_CONSOLE_STYLE = Route::get("/_/console.css", Gateway, Anyone);
    /// The page that undoes a change of e-mail address.
    GET_UNDO = Route::get("/account/undo", Gateway, Anyone).page();
    /// The script of that page.
    GET_UNDO_SCRIPT = Route::get("/_/undo.js", Gateway, Anyone);
}
