//! The followers of each service's log, a fixed property of the shop: a log is trimmed only
//! behind all of them, also while some are away.

/// The followers of each log, as `SERVICE/NAME`.
const FOLLOWERS: &[(&str, &[&str])] = &[
    (
        "users",
        &[
            "users/trust",
            "products/trust",
            "orders/trust",
            "orders/main",
            "notifications/trust",
            "notifications/main",
            "gateway/trust",
        ],
    ),
    (
        "products",
        &["orders/main", "notifications/main", "products/index"],
    ),
    ("orders", &["products/main", "notifications/main"]),
    ("notifications", &[]),
    ("gateway", &[]),
];

/// The followers of a service's log; `None` for a service that is not of the shop.
pub fn followers_of(source: &str) -> Option<&'static [&'static str]> {
    let row = FOLLOWERS.iter().find(|(name, _)| *name == source)?;
    Some(row.1)
}
