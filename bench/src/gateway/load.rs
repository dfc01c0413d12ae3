//! The load on an endpoint: prepared bytes out, response bytes in, without an HTTP library.
//!
//! **Invariant:** every connection has one request in flight, and all share one thread.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use futures::future::try_join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::http1;
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

/// The length of a response, head and body, once its head is complete.
fn whole_length(response: &[u8]) -> anyhow::Result<Option<usize>> {
    let Some((status, bytes)) = http1::parse(response)? else {
        return Ok(None);
    };
    ensure!(
        status == 200,
        "answered {}",
        String::from_utf8_lossy(response)
    );
    // A proxy without such a site may answer 200 with an empty body.
    ensure!(
        !response.ends_with(b"\r\n\r\n") || bytes > response.len(),
        "an empty body"
    );
    Ok(Some(bytes))
}
