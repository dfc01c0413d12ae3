//! A mail server that accepts every mail (RFC 5321) and keeps it, for tests of what people are
//! written.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// The server; it runs until the test's process ends.
#[derive(Clone)]
pub(crate) struct MailSink {
    address: SocketAddr,
    mails: Arc<Mutex<Vec<String>>>,
}

impl MailSink {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let sink = Self { address, mails: Arc::default() };
        let serving = sink.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = serving.clone();
                std::thread::spawn(move || serving.converse(stream));
            }
        });
        sink
    }

    /// Settings that send the shop's mail here.
    pub(crate) fn settings(&self) -> String {
        let port = self.address.port();
        format!(
            "[mail]\nserver = \"127.0.0.1\"\nport = {port}\nsecurity = \"none\"\nfrom = \"shop@konbini.example\"\n"
        )
    }

    /// The mails to an address, as text without soft line breaks (RFC 2045 §6.7).
    pub(crate) fn to(&self, address: &str) -> Vec<String> {
        let mails = self.mails.lock().unwrap();
        let is_recipient = |mail: &&String| {
            let mut lines = mail.lines();
            lines.any(|line| line.starts_with("To:") && line.contains(address))
        };
        let mails = mails.iter().filter(is_recipient);
        mails.map(|mail| mail.replace("=\r\n", "")).collect()
    }

    fn converse(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut lines = BufReader::new(stream.try_clone()?);
        stream.write_all(b"220 sink ESMTP\r\n")?;
        let mut line = String::new();
        while lines.read_line(&mut line)? > 0 {
            let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
            line.clear();
            if verb != "DATA" {
                stream.write_all(b"250 ok\r\n")?;
                continue;
            }
            stream.write_all(b"354 go on\r\n")?;
            let mut mail = String::new();
            while lines.read_line(&mut line)? > 0 && line != ".\r\n" {
                mail += &line;
                line.clear();
            }
            line.clear();
            self.mails.lock().unwrap().push(mail);
            stream.write_all(b"250 taken\r\n")?;
        }
        Ok(())
    }
}
