//! A host with two addresses, one of which swallows packets, as an IPv6 does that is announced and
//! leads nowhere. The host is played: its name is looked up in a file.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use testkit::{TestService, eventually};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::mail::Users;
use super::mail_server::Server;
use super::{NAME, confirm};

/// An address of documentation, which the namespace gives to its loopback.
const HOLE: &str = "2001:db8::2";
const HOST: &str = "dual.example";

/// Sets the namespaces up and runs the other test in them.
const SET_UP: &str = r#"set -e
ip link set lo up
ip -6 addr add 2001:db8::2/128 dev lo nodad
printf '2001:db8::2 dual.example\n127.0.0.1 dual.example localhost\n' > "$1/hosts"
mount --bind "$1/hosts" /etc/hosts
exec "$0" --ignored --exact dual_stack::mail_and_webhooks_arrive_within_the_namespace"#;

#[test]
#[ignore = "needs namespaces of its own, which only root may have"]
fn an_address_that_swallows_packets_costs_little() {
    let own = std::env::current_exe().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut inner = Command::new("unshare");
    inner.args(["--net", "--mount", "sh", "-c", SET_UP]);
    let ran = inner.arg(own).arg(folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && said.contains("1 passed"), "{ran:?}");
}

/// A listener whose queue is full, for which the kernel drops packets.
async fn black_hole(port: u16) -> (tokio::net::TcpListener, Vec<TcpStream>) {
    let address = SocketAddr::new(HOLE.parse().unwrap(), port);
    let socket = TcpSocket::new_v6().unwrap();
    socket.bind(address).unwrap();
    let (listener, mut filling) = (socket.listen(1).unwrap(), Vec::new());
    while let Ok(stream) = timeout(Duration::from_millis(300), TcpStream::connect(address)).await {
        filling.push(stream.unwrap());
    }
    (listener, filling)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the inner half of the test above, started by it"]
async fn mail_and_webhooks_arrive_within_the_namespace() {
    let server = Server::start(&[]).await;
    let mut config = server.config();
    config.mail.server = Some(HOST.into());
    config.webhooks.allow_private = true;
    config.webhooks.allow_http = true;
    let port = config.mail.port.unwrap();
    let _hole = black_hole(port).await;
    let resolved: Vec<_> = tokio::net::lookup_host((HOST, port))
        .await
        .unwrap()
        .collect();
    assert!(resolved[0].is_ipv6() && resolved.len() == 2, "{resolved:?}");

    let others = ["orders", "products"];
    let test = TestService::start_with(config, NAME, notifications::open, &others).await;
    let users = Users::start(&test.mesh).await;
    let (admin, ann) = (test.admin(), test.customer());
    users.know(&ann, "ann", None);
    let hook = json!({ "url": format!("http://{HOST}:{port}/"), "events": ["order.confirmed"] });
    assert_eq!(admin.post("/v1/webhooks", hook).await.status, 201);
    confirm(&test.other("orders"), &ann).await;
    // The mail server is the receiver, too, and understands nothing of it.
    let both = eventually("both connect to the other address", || async {
        server.connections() >= 2 && server.taken().len() == 1
    });
    timeout(Duration::from_secs(5), both)
        .await
        .expect("the packets cost less");
    test.finish().await;
}
