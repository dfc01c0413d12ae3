//! A service that records every byte and parses requests strictly. A request whose body is
//! malformed never ends, so it is recorded as incomplete: to a service it is no request.

use std::sync::{Arc, Mutex};

use mesh::{Instance, Presence};
use testkit::{TestService, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Head and body.
    pub(crate) raw: String,
    /// Whether it is complete.
    pub(crate) is_whole: bool,
}

impl Request {
    /// The first line.
    pub(crate) fn line(&self) -> &str {
        self.raw.lines().next().unwrap_or_default()
    }

    fn field(&self, name: &str) -> Vec<&str> {
        let head = self.raw.split("\r\n\r\n").next().unwrap_or_default();
        let fields = head
            .split("\r\n")
            .skip(1)
            .filter_map(|field| field.split_once(": "));
        let named = fields.filter(|(found, _)| found.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value).collect()
    }

    /// Whether it was forwarded for this address.
    pub(crate) fn is_from(&self, address: &str) -> bool {
        self.field("x-forwarded-for") == [address]
    }

    /// The fault that a strict parser finds, if there is one.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let mut words = self.line().split(' ');
        let (method, target, version) = (words.next(), words.next(), words.next());
        let is_line = method.is_some_and(|it| it.bytes().all(|byte| byte.is_ascii_uppercase()))
            && target.is_some_and(|it| {
                it.starts_with('/') && it.bytes().all(|byte| byte.is_ascii_graphic())
            })
            && version == Some("HTTP/1.1")
            && words.next().is_none();
        let head = self.raw.split("\r\n\r\n").next().unwrap_or_default();
        let framings = self.field("content-length").len() + self.field("transfer-encoding").len();
        match () {
            () if !is_line => Some("its first line"),
            () if framings > 1 => Some("its framing"),
            () if self.field("host").len() != 1 => Some("its host"),
            () if head.replace("\r\n", "").contains(['\r', '\n', '\0']) => Some("its lines"),
            () => None,
        }
    }
}

/// A stub service that records its requests.
pub(crate) struct Recorder {
    seen: Arc<Mutex<Vec<Request>>>,
    _presence: Presence,
}

impl Recorder {
    /// Starts as `service` and waits until the gateway has discovered it.
    pub(crate) async fn start(test: &TestService, service: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let instance = Instance::new(service, listener.local_addr().unwrap());
        let seen = Arc::<Mutex<Vec<Request>>>::default();
        let record = seen.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, record.clone()));
            }
        });
        let presence = Presence::declare(&test.mesh, &instance).await.unwrap();
        let anyone = test.customer();
        eventually("the gateway has discovered the service", || async {
            anyone.get(&format!("/v1/{service}")).await.status == 200
        })
        .await;
        seen.lock().unwrap().clear();
        Self { seen, _presence: presence }
    }

    /// The requests received, complete or not.
    pub(crate) fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, seen: Arc<Mutex<Vec<Request>>>) {
    let mut unread = String::new();
    let mut buffer = [0; 4096];
    loop {
        while let Some(end) = end_of(&unread) {
            let raw = unread.drain(..end).collect::<String>();
            let is_head = raw.starts_with("HEAD ");
            seen.lock().unwrap().push(Request { raw, is_whole: true });
            let body = if is_head { "" } else { "{}" };
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{body}"
            );
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            // One character per byte, as in latin-1.
            Ok(bytes) => unread.extend(buffer[..bytes].iter().map(|byte| char::from(*byte))),
        }
    }
    if !unread.is_empty() {
        seen.lock()
            .unwrap()
            .push(Request { raw: unread, is_whole: false });
    }
}

/// The end of the first request in characters of one byte each; `None` for an incomplete
/// or badly framed one.
fn end_of(text: &str) -> Option<usize> {
    let head = text.find("\r\n\r\n")? + 4;
    let request = Request { raw: text.to_owned(), is_whole: false };
    let (length, encoding) = (
        request.field("content-length"),
        request.field("transfer-encoding"),
    );
    match (&length[..], &encoding[..]) {
        ([], []) => Some(head),
        ([length], []) => {
            let end = head + length.parse::<usize>().ok()?;
            (text.len() >= end).then_some(end)
        }
        ([], ["chunked"]) => {
            let mut at = head;
            loop {
                let (size, _) = text.get(at..)?.split_once("\r\n")?;
                let bytes = usize::from_str_radix(size, 16).ok()?;
                at += size.len() + 2;
                let end = at + bytes;
                if text.get(end..end + 2)? != "\r\n" {
                    return None;
                }
                at = end + 2;
                if bytes == 0 {
                    return Some(at);
                }
            }
        }
        _ => None,
    }
}
