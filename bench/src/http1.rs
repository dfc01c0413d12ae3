//! A minimal HTTP/1.1 client: one kept-alive connection over a blocking socket. The load
//! generator shares the host's cores with the shop, and this costs them least.
//!
//! **Invariant:** a response without a `Content-Length`, or an interim response, is an
//! error.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The shop itself gives up sooner.
const TIMEOUT: Duration = Duration::from_secs(30);
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// A connection with one request in flight.
pub(crate) struct Http1Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Http1Connection {
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        Ok(Self { stream, buffer: vec![0; HEAD_BYTES_MAX] })
    }

    /// Sends a request, reads its response and returns the status.
    pub(crate) fn call(&mut self, request: &[u8]) -> io::Result<u16> {
        self.exchange(request).map(|(status, _)| status)
    }

    /// Sends a request, reads its response and returns the status and the `Location`.
    pub(crate) fn exchange(&mut self, request: &[u8]) -> io::Result<(u16, Option<String>)> {
        self.stream.write_all(request)?;
        let mut filled = 0;
        let (status, mut missing) = loop {
            let free = &mut self.buffer[filled..];
            if free.is_empty() {
                return Err(bad("a response's head is too long"));
            }
            match self.stream.read(free)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => filled += read,
            }
            if let Some((status, bytes)) = parse(&self.buffer[..filled])? {
                break (status, bytes.saturating_sub(filled));
            }
        };
        let location = location(&self.buffer[..filled]);
        while missing > 0 {
            let part = self.buffer.len().min(missing);
            match self.stream.read(&mut self.buffer[..part])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => missing -= read,
            }
        }
        Ok((status, location))
    }
}

/// The `Location` of a response whose head is complete.
fn location(response: &[u8]) -> Option<String> {
    let head = response.split(|byte| *byte == b'\n');
    let mut lines = head.filter_map(|line| std::str::from_utf8(line).ok());
    lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_location = name.eq_ignore_ascii_case("location");
        is_location.then(|| value.trim().to_owned())
    })
}

/// The status and the length of a response, head and body, once its head is complete.
pub(crate) fn parse(response: &[u8]) -> io::Result<Option<(u16, usize)>> {
    let Some(end) = response.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&response[..end]);
    let head = head.map_err(|_| bad("a response's head is no text"))?;
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let status = status.ok_or_else(|| bad("a response without a status"))?;
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then_some(value)
    });
    let length: Option<usize> = length.and_then(|value| value.trim().parse().ok());
    let length = length.ok_or_else(|| bad("a response without a length"))?;
    Ok(Some((status, end + 4 + length)))
}

fn bad(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_whatever_the_case() {
        let head = b"HTTP/1.1 201 Created\r\ncontent-type: a/b\r\nContent-LENGTH: 12\r\n\r\n";
        assert_eq!(parse(head).unwrap(), Some((201, head.len() + 12)));
        assert_eq!(parse(&head[..30]).unwrap(), None);
        let made = b"HTTP/1.1 201 Created\r\nLocation: /v1/carts/1\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(location(made).as_deref(), Some("/v1/carts/1"));
        assert!(parse(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
    }
}
