//! What a request that passes through may change of what is kept here.

use model::{Id, kinds};

use super::SOURCE;

/// What of a service's answers may be others after a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Nothing at once; what follows from it is heard of.
    Nothing,
    /// Lists, not what stands in them.
    Lists,
    /// One product, and lists.
    Product(Id<kinds::Product>),
    /// Anything, and whatever the answer says: an import that fails late has
    /// written much.
    Anything,
}

impl Reach {
    /// By whom it goes to and where.
    pub(super) fn of(service: &str, path: &str) -> Self {
        if service != SOURCE {
            return Self::Nothing;
        }
        if path == "/v1/products" {
            return Self::Lists;
        }
        // What is not a product's path as products would write it may be another way
        // of writing one.
        let rest = path.strip_prefix("/v1/products/");
        let id = rest.and_then(|rest| rest.split('/').next()?.parse().ok());
        id.map_or(Self::Anything, Self::Product)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_path_may_change() {
        let id: Id<kinds::Product> = "prod_01h455vb4pex5vsknk084sn02q".parse().unwrap();
        let product = format!("/v1/products/{id}");
        assert_eq!(Reach::of("products", &product), Reach::Product(id));
        let stock = format!("{product}/stock");
        assert_eq!(Reach::of("products", &stock), Reach::Product(id));
        assert_eq!(Reach::of("products", "/v1/products"), Reach::Lists);
        for path in ["/v1/products/import", "/v1/products/prod%5F01", "/v1/x"] {
            assert_eq!(Reach::of("products", path), Reach::Anything, "{path}");
        }
        assert_eq!(Reach::of("orders", "/v1/orders"), Reach::Nothing);
    }
}
