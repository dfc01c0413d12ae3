//! One kept-alive connection, by hand: what a measuring client costs is taken
//! from the shop on the same cores, and a blocking socket costs least.
//!
//! It reads what a shop of ours answers with, a `Content-Length` and no
//! interim response, and calls everything else an error.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The shop itself gives up sooner.
const TIMEOUT: Duration = Duration::from_secs(30);
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// A connection that is asked one thing at a time.
pub(super) struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Wire {
    pub(super) fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        Ok(Self { stream, buffer: vec![0; HEAD_BYTES_MAX] })
    }

    /// Sends a whole request and reads its whole answer: the status.
    pub(super) fn call(&mut self, request: &[u8]) -> io::Result<u16> {
        self.stream.write_all(request)?;
        let mut filled = 0;
        let (status, mut missing) = loop {
            let room = &mut self.buffer[filled..];
            if room.is_empty() {
                return Err(bad("an answer's head is too long"));
            }
            match self.stream.read(room)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => filled += read,
            }
            let read = &self.buffer[..filled];
            if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
                let (status, body_bytes) = parse(&read[..end])?;
                break (status, (end + 4 + body_bytes).saturating_sub(filled));
            }
        };
        while missing > 0 {
            let room = self.buffer.len().min(missing);
            match self.stream.read(&mut self.buffer[..room])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => missing -= read,
            }
        }
        Ok(status)
    }
}

/// The status and the length of the body.
fn parse(head: &[u8]) -> io::Result<(u16, usize)> {
    let head = std::str::from_utf8(head).map_err(|_| bad("an answer's head is no text"))?;
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let status = status.ok_or_else(|| bad("an answer without a status"))?;
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then_some(value)
    });
    let length = length.and_then(|value| value.trim().parse().ok());
    Ok((
        status,
        length.ok_or_else(|| bad("an answer without a length"))?,
    ))
}

fn bad(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_whatever_the_case() {
        let head = b"HTTP/1.1 201 Created\r\ncontent-type: a/b\r\nContent-LENGTH: 12";
        assert_eq!(parse(head).unwrap(), (201, 12));
        assert!(parse(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked").is_err());
    }
}
