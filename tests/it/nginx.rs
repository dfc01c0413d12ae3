//! The stream of notifications behind a real nginx that is configured to do nothing but
//! `proxy_pass`.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqwest::{Client, Method};
use testkit::eventually;
use testkit::shop::Form;

use crate::people::{Person, lamp, pieces};
use crate::world::open;

/// Within this time of an order its first event is behind nginx, which would hold a stream that
/// it buffers for minutes.
const SOON: Duration = Duration::from_secs(10);

/// An nginx in a temporary folder, ended when it is dropped.
struct Nginx {
    process: Child,
    _folder: tempfile::TempDir,
}

impl Nginx {
    fn start(upstream: &str, port: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = format!(
            "pid nginx.pid; error_log stderr; events {{}}
             http {{
               access_log off;
               server {{
                 listen 127.0.0.1:{port};
                 location / {{ proxy_pass http://{upstream}; }}
               }}
             }}"
        );
        std::fs::write(folder.path().join("nginx.conf"), settings).unwrap();
        let mut nginx = Command::new("nginx");
        let path = folder.path().to_str().unwrap();
        nginx.args([
            "-p",
            path,
            "-c",
            "nginx.conf",
            "-g",
            "daemon off; master_process off;",
        ]);
        let process = nginx.stderr(Stdio::null()).spawn();
        let process = process.expect("nginx is installed");
        Self { process, _folder: folder }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nginx"]
async fn a_stream_passes_an_nginx_that_only_forwards() {
    let mut shop = open(Form::Up).await;
    let admin = Person::admin(&shop).await;
    let ids = admin.sell(&[lamp("LAMP-1", "Lamp", 9)]).await;
    let buyer = Person::register(&shop, "buyer@konbini.example").await;
    let port = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().port()
    };
    let _nginx = Nginx::start(&shop.address().to_string(), port);
    let behind = buyer.at(&format!("http://127.0.0.1:{port}"));
    let url = format!("http://127.0.0.1:{port}/livez");
    let is_up = || async { Client::new().get(&url).send().await.is_ok() };
    eventually("nginx forwards", is_up).await;

    let stream = behind.request(Method::GET, "/v1/notifications/stream");
    let head = tokio::time::timeout(SOON, stream.send()).await;
    let mut stream = head.expect("the head at once").unwrap();
    assert_eq!(stream.status(), 200);
    let order = buyer.post("/v1/orders", pieces(&ids[0], 1)).await.body;
    let mut text = String::new();
    while !text.contains(order["id"].as_str().unwrap()) {
        let chunk = tokio::time::timeout(SOON, stream.chunk()).await;
        let chunk = chunk.expect("the event at once").unwrap().unwrap();
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    drop(stream);
    shop.terminate_all().await.unwrap();
}
