//! A mail server for tests: enough SMTP (RFC 5321) over real sockets, in the clear
//! or over TLS, that misbehaves as scripted.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use notifications::Config;
use notifications::config::Security;
use rcgen::CertifiedKey;
use testkit::eventually;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::{ServerConfig, crypto};

/// How the server behaves in one connection.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Manner {
    /// Accepts the mail.
    Takes,
    /// Accepts the mail and closes the connection, which is idle from then on.
    TakesAndCloses,
    /// Replies to the recipient with this.
    Answers(&'static str),
    /// Replies to a command, by its first four letters, with this; "220" is the greeting, and "."
    /// the end of a mail.
    AnswersTo(&'static str, &'static str),
    /// Sends nothing at all.
    IsSilent,
    /// Reads the whole mail, then closes the connection without a reply.
    HangsUp,
}

#[derive(Default)]
struct Seen {
    connections: usize,
    hellos: Vec<String>,
    logins: Vec<String>,
    /// Every mail read to its end, and whether it was accepted.
    read: Vec<(String, bool)>,
}

/// A mail server.
#[derive(Clone)]
pub(crate) struct Server {
    address: SocketAddr,
    manners: Arc<Mutex<(VecDeque<Manner>, Manner)>>,
    seen: Arc<Mutex<Seen>>,
    secured: Option<(Security, TlsAcceptor, String)>,
}

impl Server {
    /// Behaves like this in its first connections, and normally afterwards.
    pub(crate) async fn start(first: &[Manner]) -> Self {
        Self::listen(first, None).await
    }

    /// Accepts mail for `localhost` over TLS, and requires a login.
    pub(crate) async fn start_secured(security: Security) -> Self {
        let names = vec!["localhost".to_owned()];
        let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(names).unwrap();
        let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
        let provider = Arc::new(crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key.into())
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Self::listen(&[], Some((security, acceptor, cert.pem()))).await
    }

    async fn listen(first: &[Manner], secured: Option<(Security, TlsAcceptor, String)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            manners: Arc::new(Mutex::new((first.iter().copied().collect(), Manner::Takes))),
            seen: Arc::default(),
            secured,
        };
        let serving = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let serving = serving.clone();
                tokio::spawn(async move { serving.converse(stream).await });
            }
        });
        server
    }

    /// Behaves like this in every further connection.
    pub(crate) fn usually(&self, manner: Manner) {
        self.manners.lock().unwrap().1 = manner;
    }

    async fn converse(&self, stream: TcpStream) -> Option<()> {
        self.seen.lock().unwrap().connections += 1;
        let manner = {
            let mut manners = self.manners.lock().unwrap();
            let usual = manners.1;
            manners.0.pop_front().unwrap_or(usual)
        };
        match &self.secured {
            None => drop(self.speak(stream, manner, "AUTH PLAIN", true).await?),
            Some((Security::Tls, acceptor, _)) => {
                let stream = acceptor.accept(stream).await.ok()?;
                drop(self.speak(stream, manner, "AUTH PLAIN", true).await?);
            }
            Some((_, acceptor, _)) => {
                let plain = self.speak(stream, manner, "STARTTLS", true).await??;
                let stream = acceptor.accept(plain).await.ok()?;
                drop(self.speak(stream, manner, "AUTH PLAIN", false).await?);
            }
        }
        Some(())
    }

    /// Speaks until the other side leaves; or gives the stream back when it is to
    /// be secured.
    async fn speak<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        manner: Manner,
        offer: &str,
        greets: bool,
    ) -> Option<Option<S>> {
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        if let Manner::IsSilent = manner {
            while stream.read_line(&mut line).await.ok()? > 0 {}
            return None;
        }
        if greets {
            let greeting = match manner {
                Manner::AnswersTo("220", answer) => answer,
                _ => "220 test ESMTP",
            };
            let greeting = format!("{greeting}\r\n");
            stream.write_all(greeting.as_bytes()).await.ok()?;
        }
        loop {
            line.clear();
            if stream.read_line(&mut line).await.ok()? == 0 {
                return Some(None);
            }
            let verb = line.get(..4).unwrap_or("").to_ascii_uppercase();
            if verb == "EHLO" {
                let hello = line.trim().to_owned();
                self.seen.lock().unwrap().hellos.push(hello);
            }
            let answer = match (verb.as_str(), manner) {
                (verb, Manner::AnswersTo(to, answer)) if verb == to => answer,
                ("EHLO", _) => &format!("250-test\r\n250 {offer}"),
                ("STAR", _) => "220 go on",
                ("AUTH", _) => "235 welcome",
                ("RCPT", Manner::Answers(answer)) => answer,
                ("DATA", _) => "354 go on",
                ("QUIT", _) => "221 bye",
                _ => "250 ok",
            };
            stream
                .write_all(format!("{answer}\r\n").as_bytes())
                .await
                .ok()?;
            match verb.as_str() {
                "STAR" => return Some(Some(stream.into_inner())),
                "AUTH" => self
                    .seen
                    .lock()
                    .unwrap()
                    .logins
                    .push(line.trim().to_owned()),
                "DATA" if answer.starts_with('3') => self.read_mail(&mut stream, manner).await?,
                _ => {}
            }
        }
    }

    async fn read_mail<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut BufReader<S>,
        manner: Manner,
    ) -> Option<()> {
        let (mut mail, mut line) = (String::new(), String::new());
        while line != ".\r\n" {
            mail += &line;
            line.clear();
            if stream.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
        }
        let taken = matches!(manner, Manner::Takes | Manner::TakesAndCloses);
        self.seen.lock().unwrap().read.push((mail, taken));
        if let Manner::AnswersTo(_, answer) = manner {
            return stream
                .write_all(format!("{answer}\r\n").as_bytes())
                .await
                .ok();
        }
        if taken {
            stream.write_all(b"250 taken\r\n").await.ok()?;
        }
        match manner {
            Manner::Takes => return Some(()),
            Manner::TakesAndCloses => stream.write_all(b"421 4.4.2 idle\r\n").await.ok()?,
            _ => {}
        }
        stream.shutdown().await.ok()?;
        while stream.read_line(&mut line).await.ok()? > 0 {}
        None
    }

    /// Every mail read to its end, and whether it was accepted.
    pub(crate) fn read(&self) -> Vec<(String, bool)> {
        self.seen.lock().unwrap().read.clone()
    }

    /// Every EHLO.
    pub(crate) fn hellos(&self) -> Vec<String> {
        self.seen.lock().unwrap().hellos.clone()
    }

    /// Behaves like this in the next connection.
    pub(crate) fn next(&self, manner: Manner) {
        self.manners.lock().unwrap().0.push_back(manner);
    }

    /// Every login.
    pub(crate) fn logins(&self) -> Vec<String> {
        self.seen.lock().unwrap().logins.clone()
    }

    /// How often it was connected to.
    pub(crate) fn connections(&self) -> usize {
        self.seen.lock().unwrap().connections
    }

    /// The accepted mail.
    pub(crate) fn taken(&self) -> Vec<String> {
        let taken = self.read().into_iter().filter(|(_, taken)| *taken);
        taken.map(|(mail, _)| mail).collect()
    }

    /// The accepted mail, once there is that much.
    pub(crate) async fn takes(&self, count: usize) -> Vec<String> {
        eventually("the mail is taken", || async {
            self.taken().len() >= count
        })
        .await;
        self.taken()
    }

    /// Its certificate, PEM.
    pub(crate) fn certificate(&self) -> &str {
        &self.secured.as_ref().expect("it is secured").2
    }

    /// Settings that send mail here, in a hurry.
    pub(crate) fn config(&self) -> Config {
        let mut config = Config::default();
        config.mail.server = Some("127.0.0.1".into());
        config.mail.port = Some(self.address.port());
        config.mail.security = Security::None;
        config.mail.from = Some("The Shop <shop@example.com>".into());
        config.mail.retry_first_ms = 50;
        config.mail.timeout_ms = 1_000;
        config.mail.per_second_max = 1_000;
        config
    }
}
