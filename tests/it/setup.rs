//! The set-up link: a shop without an admin prints it, and it makes the first one, once.

use serde_json::json;
use testkit::shop::{Form, Shop};

use crate::people::{PASSWORD, Person};
use crate::world::open;

/// The tokens of the links that the shop has printed so far.
fn tokens(shop: &Shop) -> Vec<String> {
    let output = shop.output();
    let links = output.split("/_/#setup=").skip(1);
    let tokens = links.filter_map(|rest| rest.split_whitespace().next());
    tokens.map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_link_makes_the_first_admin_and_no_other() {
    for form in [Form::Up, Form::Run] {
        let mut shop = open(form).await;
        let printed = || async { !tokens(&shop).is_empty() };
        testkit::eventually("the link is printed", printed).await;
        let token = tokens(&shop).remove(0);
        let anyone = Person::stranger(&shop);
        Person::register(&shop, "customer@konbini.example").await;
        let body = |token: &str, email: &str, password: &str| json!({ "token": token, "email": email, "name": "Ana", "password": password });
        const EMAIL: &str = "ana@konbini.example";
        for (token, email, password, status) in [
            ("", EMAIL, PASSWORD, 401),
            (&token[1..], EMAIL, PASSWORD, 401),
            (&token, EMAIL, "password", 422),
            (&token, "customer@konbini.example", PASSWORD, 409),
            (&token, EMAIL, PASSWORD, 201),
            (&token, "eve@konbini.example", PASSWORD, 409),
        ] {
            let answer = anyone.post("/v1/setup", body(token, email, password)).await;
            assert_eq!(answer.status, status, "{email}: {answer:?}");
        }
        let again = anyone
            .post("/v1/setup", body(&token, "eve@konbini.example", PASSWORD))
            .await;
        assert_eq!(again.body["type"], "/problems/set-up");
        let ana = anyone.log_in(EMAIL).await;
        assert_eq!(ana.get("/v1/status").await.status, 200);

        // With an admin no further start prints one.
        let before = tokens(&shop).len();
        let name = form.processes()[0];
        shop.terminate(name).await.unwrap();
        shop.start(name).unwrap();
        shop.ready().await.unwrap();
        assert_eq!(tokens(&shop).len(), before);
        shop.terminate_all().await.unwrap();
    }
}
