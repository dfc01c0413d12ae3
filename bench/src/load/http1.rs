//! HTTP/1.1 by hand: a request's bytes out, a response's bytes in, over a connection that is
//! kept alive. The load shares the host's cores with the shop, and this costs them least.
//!
//! **Invariant:** a response is read to its end, whatever frames its body, before the next
//! request is sent; one that has no end that can be known is an error.

use std::io;

use futures::FutureExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::request::{LoadRequest, LoadResponse};

/// Fields of a head.
const FIELDS_MAX: usize = 64;
/// A response, head and body. A page of search results has tens of KiB.
const RESPONSE_BYTES_MAX: usize = 16 << 20;
const BUFFER_BYTES: usize = 8 << 10;

/// Any byte stream of a connection.
pub(super) trait ByteStream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> ByteStream for T {}

/// A connection with one request in flight.
pub(super) struct Http1Connection {
    stream: Box<dyn ByteStream>,
    /// The `host` field of every request.
    host: String,
    out: Vec<u8>,
    buffer: Vec<u8>,
    is_usable: bool,
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
}

/// A head as far as it matters to whoever reads on.
#[derive(Debug, PartialEq, Eq)]
struct ResponseHead {
    status: u16,
    bytes: usize,
    framing: Framing,
    /// The connection ends with this response.
    is_last: bool,
    location: Option<String>,
    retry_after: Option<u64>,
    is_replayed: bool,
}

impl Http1Connection {
    pub(super) fn new(stream: Box<dyn ByteStream>, host: String) -> Self {
        Self {
            stream,
            host,
            out: Vec::new(),
            buffer: Vec::new(),
            is_usable: true,
        }
    }

    /// Whether another request may be sent: the last response was read to its end, and the
    /// other side has neither left meanwhile nor sent anything more.
    pub(super) fn is_usable(&mut self) -> bool {
        self.is_usable && self.stream.read(&mut [0]).now_or_never().is_none()
    }

    /// Sends a request and reads its response to the end.
    pub(super) async fn exchange(&mut self, request: &LoadRequest) -> io::Result<LoadResponse<'_>> {
        self.is_usable = false;
        self.write(request);
        self.stream.write_all(&self.out).await?;
        self.stream.flush().await?;
        self.buffer.clear();
        let head = loop {
            self.read_some().await?;
            match parse_head(&self.buffer)? {
                // An interim response: the one that counts follows.
                Some(head) if head.status < 200 => {
                    self.buffer.drain(..head.bytes);
                }
                Some(head) => break head,
                None => {}
            }
        };
        let body = match head.framing {
            Framing::Length(length) => {
                let end = head.bytes + length;
                while self.buffer.len() < end {
                    self.read_some().await?;
                }
                head.bytes..end
            }
            Framing::Chunked => head.bytes..self.read_chunks(head.bytes).await?,
        };
        if body.end != self.buffer.len() {
            return Err(bad("more than a response came"));
        }
        let ResponseHead { status, retry_after, is_replayed, .. } = head;
        self.out.clear();
        // Borrowed by the response like its body; the buffer for requests is free by now.
        self.out
            .extend(head.location.iter().flat_map(|value| value.bytes()));
        let location = head.location.is_some();
        let location = location.then(|| std::str::from_utf8(&self.out).unwrap_or_default());
        let body = &self.buffer[body];
        let response = LoadResponse { status, location, retry_after, is_replayed, body };
        self.is_usable = !head.is_last;
        Ok(response)
    }

    fn write(&mut self, request: &LoadRequest) {
        let LoadRequest { method, path, fields, body } = request;
        self.out.clear();
        let mut put = |text: &str| self.out.extend_from_slice(text.as_bytes());
        for part in [
            method,
            " ",
            path,
            " HTTP/1.1\r\nhost: ",
            &self.host,
            "\r\n",
            fields,
        ] {
            put(part);
        }
        if !body.is_empty() || *method == "POST" {
            put(&format!("content-length: {}\r\n", body.len()));
        }
        put("\r\n");
        put(body);
    }

    async fn read_some(&mut self) -> io::Result<()> {
        if self.buffer.len() >= RESPONSE_BYTES_MAX {
            return Err(bad("a response is too long"));
        }
        self.buffer.reserve(BUFFER_BYTES);
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the connection was closed",
            )),
            _ => Ok(()),
        }
    }

    /// Reads chunks and puts their content together from `start` on; returns its end, which is
    /// the buffer's.
    async fn read_chunks(&mut self, start: usize) -> io::Result<usize> {
        let (mut end, mut next) = (start, start);
        loop {
            let (size_bytes, size) = loop {
                match httparse::parse_chunk_size(&self.buffer[next..]) {
                    Ok(httparse::Status::Complete((bytes, size))) => break (bytes, size as usize),
                    Ok(httparse::Status::Partial) => self.read_some().await?,
                    Err(_) => return Err(bad("a chunk without a size")),
                }
            };
            let content = next + size_bytes;
            if size > RESPONSE_BYTES_MAX {
                return Err(bad("a response is too long"));
            }
            // The content of a chunk and its line end; trailers are never sent by a shop.
            next = content + size + 2;
            while self.buffer.len() < next {
                self.read_some().await?;
            }
            if &self.buffer[next - 2..next] != b"\r\n" {
                return Err(bad("a chunk without an end, or a trailer"));
            }
            if size == 0 {
                if next != self.buffer.len() {
                    return Err(bad("more than a response came"));
                }
                self.buffer.truncate(end);
                return Ok(end);
            }
            self.buffer.copy_within(content..content + size, end);
            end += size;
        }
    }
}

/// The head of a response, once all of it is there.
fn parse_head(bytes: &[u8]) -> io::Result<Option<ResponseHead>> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut parsed = httparse::Response::new(&mut fields);
    let complete = parsed
        .parse(bytes)
        .map_err(|_| bad("not a response of HTTP"))?;
    let httparse::Status::Complete(head_bytes) = complete else {
        return Ok(None);
    };
    let status = parsed.code.unwrap_or_default();
    let (mut length, mut is_chunked) = (None, false);
    let mut head = ResponseHead {
        status,
        bytes: head_bytes,
        framing: Framing::Chunked,
        is_last: parsed.version == Some(0),
        location: None,
        retry_after: None,
        is_replayed: false,
    };
    for field in parsed.headers.iter() {
        let is = |name: &str| field.name.eq_ignore_ascii_case(name);
        let value = || std::str::from_utf8(field.value).unwrap_or_default().trim();
        if is("content-length") {
            length = value().parse().ok();
        } else if is("transfer-encoding") {
            is_chunked = value().eq_ignore_ascii_case("chunked");
        } else if is("connection") {
            head.is_last |= value().eq_ignore_ascii_case("close");
        } else if is("location") {
            head.location = Some(value().to_owned());
        } else if is("retry-after") {
            head.retry_after = value().parse().ok();
        } else if is("idempotency-replayed") {
            head.is_replayed = value() == "true";
        }
    }
    head.framing = match (status, is_chunked, length) {
        (100..200 | 204 | 304, ..) => Framing::Length(0),
        (_, true, _) => Framing::Chunked,
        (_, false, Some(length)) if length <= RESPONSE_BYTES_MAX => Framing::Length(length),
        _ => {
            return Err(bad(
                "a response without a length, or a longer one than expected",
            ));
        }
    };
    Ok(Some(head))
}

fn bad(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection whose other side says this, in as many pieces, and then leaves.
    async fn exchange(pieces: &[&str]) -> io::Result<(u16, String, bool)> {
        let (near, mut far) = tokio::io::duplex(1 << 16);
        let mut connection = Http1Connection::new(Box::new(near), "shop.test".to_owned());
        let pieces: Vec<String> = pieces.iter().map(|piece| (*piece).to_owned()).collect();
        tokio::spawn(async move {
            for piece in pieces {
                far.write_all(piece.as_bytes()).await.unwrap();
                tokio::task::yield_now().await;
            }
        });
        let request = LoadRequest { method: "GET", path: "/".to_owned(), ..Default::default() };
        let response = connection.exchange(&request).await?;
        let body = String::from_utf8(response.body.to_vec()).unwrap();
        let location = response.location.unwrap_or_default();
        let (status, text) = (response.status, format!("{location}{body}"));
        Ok((status, text, connection.is_usable))
    }

    #[tokio::test]
    async fn responses_are_read_whatever_frames_them() {
        let read = [
            (
                &["HTTP/1.1 200 OK\r\nContent-LENGTH: 5\r\n\r\n", "hel", "lo"][..],
                200,
                "hello",
                true,
            ),
            (
                &["HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"],
                204,
                "",
                false,
            ),
            (
                &[
                    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nLocation: /v1/carts/1\r\n",
                    "content-length: 0\r\n\r\n",
                ],
                201,
                "/v1/carts/1",
                true,
            ),
            (
                &[
                    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel",
                    "lo\r",
                    "\n6;x=y\r\n world\r\n0\r\n",
                    "\r\n",
                ],
                200,
                "hello world",
                true,
            ),
        ];
        for (pieces, status, text, is_kept) in read {
            let got = exchange(pieces).await.unwrap();
            assert_eq!(got, (status, text.to_owned(), is_kept), "{pieces:?}");
        }
        for pieces in [
            &["HTTP/1.1 200 OK\r\n\r\n"][..],
            &["HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel"],
            &["HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nhel"],
            &["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n"],
            &["hello\r\n\r\n"],
        ] {
            assert!(exchange(pieces).await.is_err(), "{pieces:?}");
        }
    }
}
