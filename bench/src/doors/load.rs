//! The lightest client there can be: bytes out, bytes in, no HTTP library.
//!
//! Every connection has one request in flight, and all of them share one thread.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use futures::future::try_join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::series::Series;

/// An answer that does not come fails the run.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A GET as it is sent.
pub(super) fn request(path: &str, token: Option<&str>) -> Vec<u8> {
    let token = token.map_or(String::new(), |token| {
        format!("Authorization: Bearer {token}\r\n")
    });
    format!("GET {path} HTTP/1.1\r\nHost: shop.test\r\n{token}\r\n").into_bytes()
}

/// Sends `request` over so many connections until `lasting` is over.
pub(super) async fn run(
    to: SocketAddr,
    request: Vec<u8>,
    connections: u16,
    lasting: Duration,
) -> anyhow::Result<Series> {
    let running = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let series = RefCell::new(Series::new()?);
        let began = Instant::now();
        let ends = began + lasting;
        let clients = (0..connections).map(|_| client(to, &request, ends, &series));
        runtime.block_on(async {
            let all = tokio::time::timeout(lasting + TIMEOUT, try_join_all(clients));
            all.await.context("an answer did not come")?
        })?;
        let mut series = series.into_inner();
        series.add_elapsed(began.elapsed());
        anyhow::Ok(series)
    });
    running.await?
}

async fn client(
    to: SocketAddr,
    request: &[u8],
    ends: Instant,
    series: &RefCell<Series>,
) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 128 * 1024];
    loop {
        let start = Instant::now();
        if start >= ends {
            return Ok(());
        }
        stream.write_all(request).await?;
        answer(&mut stream, &mut buffer).await?;
        series.borrow_mut().record(start);
    }
}

/// Reads one answer to its end.
async fn answer(stream: &mut TcpStream, buffer: &mut [u8]) -> anyhow::Result<()> {
    let (mut filled, mut length) = (0, None);
    loop {
        let bytes = stream.read(&mut buffer[filled..]).await?;
        if bytes == 0 {
            bail!("the connection was closed");
        }
        filled += bytes;
        if length.is_none() {
            length = whole_length(&buffer[..filled])?;
        }
        match length {
            Some(length) if filled == length => return Ok(()),
            Some(length) if filled > length => bail!("more than an answer came"),
            _ if filled == buffer.len() => bail!("the answer is too long"),
            _ => {}
        }
    }
}

/// How long an answer is, head and body, once its head is there.
fn whole_length(answer: &[u8]) -> anyhow::Result<Option<usize>> {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&answer[..end])?;
    if !head.starts_with("HTTP/1.1 200") {
        bail!("answered {}", String::from_utf8_lossy(answer));
    }
    let body = head.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| value.trim().parse::<usize>().ok())?
    });
    // A proxy that knows no such site may answer 200 with nothing.
    let body = body.filter(|bytes| *bytes > 0);
    let body = body.context("an answer without a body of known length")?;
    Ok(Some(end + 4 + body))
}
