//! A service that says the same whatever it is asked: one read and one write a
//! request, on a thread of its own.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Below this path answers may be kept, by the gateway until its products change.
pub(super) const CACHEABLE: &str = "/v1/products/cacheable";

/// Starts it; it ends with the process.
pub(super) fn start(body_bytes: usize) -> anyhow::Result<SocketAddr> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let listener = {
        let _within = runtime.enter();
        TcpListener::from_std(listener)?
    };
    std::thread::Builder::new()
        .name("upstream".into())
        .spawn(move || runtime.block_on(serve(listener, body_bytes)))?;
    Ok(address)
}

async fn serve(listener: TcpListener, body_bytes: usize) {
    let body = format!(
        "{{\"padding\":\"{}\"}}",
        "x".repeat(body_bytes.saturating_sub(14))
    );
    let answer = |control: &str| {
        let length = body.len();
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{control}content-length: {length}\r\n\r\n{body}"
        )
    };
    let plain: &'static str = answer("").leak();
    let cacheable: &'static str =
        answer("cache-control: public, max-age=60\r\netag: \"1\"\r\nkonbini-cache-control: max-age=60\r\nkonbini-cache-tags: products\r\n").leak();
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            // A proxy closes its connections as it likes.
            let _ = connection(stream, plain, cacheable).await;
        });
    }
}

async fn connection(
    mut stream: TcpStream,
    plain: &'static str,
    cacheable: &'static str,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut buffer, mut filled) = (vec![0; 16 * 1024], 0);
    loop {
        let bytes = stream.read(&mut buffer[filled..]).await?;
        if bytes == 0 {
            return Ok(());
        }
        filled += bytes;
        if !buffer[..filled].ends_with(b"\r\n\r\n") {
            continue;
        }
        let is_cacheable = buffer[4..filled].starts_with(CACHEABLE.as_bytes());
        // nginx without kept-alive connections speaks HTTP/1.0 and says `close`.
        let is_last = contains(&buffer[..filled], b"HTTP/1.0\r\n");
        let answer = if is_cacheable { cacheable } else { plain };
        stream.write_all(answer.as_bytes()).await?;
        if is_last {
            return Ok(());
        }
        filled = 0;
    }
}

fn contains(request: &[u8], text: &[u8]) -> bool {
    let line_end = request.iter().position(|byte| *byte == b'\n');
    line_end.is_some_and(|end| request[..=end].ends_with(text))
}
