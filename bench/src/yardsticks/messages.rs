//! Redis, NATS and RabbitMQ, by the lines that they speak: one operation after the other on
//! each connection.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout_at;

use super::PAYLOAD_BYTES;
use crate::daemon::free_address;
use crate::series::Series;

/// RabbitMQ as Debian and its own packages install it, without the wrapper that changes users.
const RABBITMQ_SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
/// A line or a frame of any of them is far below this, in bytes.
const FRAME_BYTES_MAX: u64 = 16 * 1024;

/// Of the last operation of each connection.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MessageProtocol {
    /// RESP2, `SET` of a key.
    Redis,
    /// A message to a subject that the same connection subscribes.
    Nats,
    /// STOMP 1.2: a persistent message to a durable queue, its receipt, and the message.
    Stomp,
}

impl MessageProtocol {
    pub(super) fn program(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Nats => "nats",
            Self::Stomp => "rabbitmq",
        }
    }

    pub(super) fn operation(self) -> &'static str {
        match self {
            Self::Redis => "SET, the log synced",
            Self::Nats => "message published and delivered",
            Self::Stomp => "durable message, confirmed and delivered",
        }
    }

    /// The command of the registry that the server needs: Erlang's would outlive it otherwise.
    pub(super) fn registry(self, port: u16) -> Option<Command> {
        (self == Self::Stomp).then(|| {
            let mut command = Command::new("epmd");
            command.args(["-address", "127.0.0.1", "-port", &port.to_string()]);
            command
        })
    }

    /// The command of a server with its data in `folder`.
    pub(super) fn server(
        self,
        address: SocketAddr,
        registry_port: u16,
        folder: &Path,
    ) -> anyhow::Result<Command> {
        let port = address.port().to_string();
        let command = match self {
            Self::Redis => {
                let mut command = Command::new("redis-server");
                command.args(["--bind", "127.0.0.1", "--port", &port, "--save", ""]);
                command.args(["--appendonly", "yes", "--appendfsync", "always"]);
                command.arg("--dir").arg(folder);
                command
            }
            Self::Nats => {
                let mut command = Command::new("nats-server");
                command.args(["-a", "127.0.0.1", "-p", &port]);
                command
            }
            Self::Stomp => rabbitmq(address, registry_port, folder)?,
        };
        Ok(command)
    }
}

fn rabbitmq(address: SocketAddr, registry_port: u16, folder: &Path) -> anyhow::Result<Command> {
    let distribution = free_address()?.port();
    let plugins = folder.join("plugins");
    std::fs::write(&plugins, "[rabbitmq_stomp].\n")?;
    let settings = format!("listeners.tcp = none\nstomp.listeners.tcp.1 = {address}\n");
    let file = folder.join("rabbitmq.conf");
    std::fs::write(&file, settings)?;
    let mut command = Command::new(RABBITMQ_SERVER);
    command
        .env("HOME", folder)
        .env("ERL_EPMD_PORT", registry_port.to_string())
        .env("RABBITMQ_CONFIG_FILE", &file)
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", &plugins)
        .env("RABBITMQ_MNESIA_BASE", folder.join("data"))
        .env("RABBITMQ_LOG_BASE", folder.join("log"))
        .env("RABBITMQ_PID_FILE", folder.join("pid"))
        .env(
            "RABBITMQ_NODENAME",
            format!("bench{distribution}@localhost"),
        )
        .env("RABBITMQ_DIST_PORT", distribution.to_string());
    Ok(command)
}

/// One operation after the other on each connection, for a while.
pub(super) async fn measure(
    protocol: MessageProtocol,
    address: SocketAddr,
    connections: u16,
    lasting: Duration,
) -> anyhow::Result<Series> {
    let mut working = JoinSet::new();
    let mut ready = Vec::new();
    for number in 0..connections {
        ready.push(MessageConnection::open(protocol, address, number).await?);
    }
    let begin = Instant::now();
    for mut connection in ready {
        let mut mine = Series::new()?;
        working.spawn(async move {
            while begin.elapsed() < lasting {
                let start = Instant::now();
                connection.operate().await?;
                mine.record(start);
            }
            anyhow::Ok(mine)
        });
    }
    let mut series = Series::new()?;
    let until = tokio::time::Instant::from_std(begin + lasting + ANSWER_TIMEOUT);
    let program = protocol.program();
    while let Some(mine) = timeout_at(until, working.join_next())
        .await
        .with_context(|| format!("{program} did not answer within {ANSWER_TIMEOUT:?}"))?
    {
        series.add(&mine.context("a connection panicked")??);
    }
    series.add_elapsed(begin.elapsed());
    Ok(series)
}

struct MessageConnection {
    protocol: MessageProtocol,
    stream: BufReader<TcpStream>,
    /// What one operation sends.
    sent: Vec<u8>,
    frame: Vec<u8>,
}

impl MessageConnection {
    async fn open(
        protocol: MessageProtocol,
        address: SocketAddr,
        number: u16,
    ) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (stream, sent) = (BufReader::new(stream), sent(protocol, number));
        let mut connection = Self { protocol, stream, sent, frame: Vec::new() };
        match protocol {
            MessageProtocol::Redis => {}
            MessageProtocol::Nats => {
                connection.read(b'\n').await?;
                let begin = format!("CONNECT {{\"verbose\":false}}\r\nSUB bench.{number} 1\r\n");
                connection.stream.write_all(begin.as_bytes()).await?;
            }
            MessageProtocol::Stomp => {
                let begin =
                    "CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:guest\n\n\0";
                connection.stream.write_all(begin.as_bytes()).await?;
                connection.frame_of("CONNECTED").await?;
                let subscribe = format!(
                    "SUBSCRIBE\nid:0\ndestination:/queue/bench{number}\ndurable:true\nauto-delete:false\n\n\0"
                );
                connection.stream.write_all(subscribe.as_bytes()).await?;
            }
        }
        Ok(connection)
    }

    /// One operation, to its last answer.
    async fn operate(&mut self) -> anyhow::Result<()> {
        self.stream.write_all(&self.sent).await?;
        match self.protocol {
            MessageProtocol::Redis => {
                self.read(b'\n').await?;
                let answer = String::from_utf8_lossy(&self.frame);
                ensure!(answer == "+OK\r\n", "redis answered {answer}");
            }
            MessageProtocol::Nats => {
                while !self.frame.starts_with(b"MSG ") {
                    self.read(b'\n').await?;
                }
                let mut payload = [0; PAYLOAD_BYTES + 2];
                self.stream.read_exact(&mut payload).await?;
                self.frame.clear();
            }
            // In whatever order.
            MessageProtocol::Stomp => {
                let first = self.frame_of("RECEIPT MESSAGE").await?;
                let second = self.frame_of("RECEIPT MESSAGE").await?;
                ensure!(first != second, "rabbitmq sent two frames {first}");
            }
        }
        Ok(())
    }

    /// Reads to the end of a line or a frame.
    async fn read(&mut self, end: u8) -> anyhow::Result<()> {
        self.frame.clear();
        let mut bounded = (&mut self.stream).take(FRAME_BYTES_MAX);
        bounded.read_until(end, &mut self.frame).await?;
        ensure!(
            self.frame.last() == Some(&end),
            "the server closed the connection"
        );
        Ok(())
    }

    /// Reads a frame of STOMP, which must have one of these commands.
    async fn frame_of(&mut self, commands: &str) -> anyhow::Result<String> {
        self.read(0).await?;
        let frame = String::from_utf8_lossy(&self.frame);
        let command = frame.trim_start().lines().next().unwrap_or_default();
        if !commands.split(' ').any(|one| one == command) {
            bail!("rabbitmq sent {frame}");
        }
        Ok(command.to_owned())
    }
}

/// What one operation of a connection sends.
fn sent(protocol: MessageProtocol, number: u16) -> Vec<u8> {
    let payload = "x".repeat(PAYLOAD_BYTES);
    match protocol {
        MessageProtocol::Redis => {
            let key = format!("order:{number}");
            let (key_bytes, bytes) = (key.len(), payload.len());
            format!("*3\r\n$3\r\nSET\r\n${key_bytes}\r\n{key}\r\n${bytes}\r\n{payload}\r\n")
        }
        MessageProtocol::Nats => format!("PUB bench.{number} {PAYLOAD_BYTES}\r\n{payload}\r\n"),
        MessageProtocol::Stomp => format!(
            "SEND\ndestination:/queue/bench{number}\npersistent:true\nreceipt:r\n\
             content-length:{PAYLOAD_BYTES}\n\n{payload}\0"
        ),
    }
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// A server of `protocol` that has one answer for each of three operations.
    async fn played(protocol: MessageProtocol, greeting: &[u8], answer: &[u8]) -> Series {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (greeting, answer) = (greeting.to_vec(), answer.to_vec());
        let serving = async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(&greeting).await.unwrap();
            for _ in 0..3 {
                stream.write_all(&answer).await.unwrap();
            }
            stream
        };
        let serving = tokio::spawn(serving);
        let mut connection = MessageConnection::open(protocol, address, 0).await.unwrap();
        let mut series = Series::new().unwrap();
        for _ in 0..3 {
            let start = Instant::now();
            connection.operate().await.unwrap();
            series.record(start);
        }
        drop(serving.await.unwrap());
        assert!(connection.operate().await.is_err());
        series
    }

    #[tokio::test]
    async fn operations_end_with_their_last_answer() {
        let message = "x".repeat(PAYLOAD_BYTES);
        let nats = format!("PING\r\nMSG bench.0 1 {PAYLOAD_BYTES}\r\n{message}\r\n");
        let stomp =
            format!("\nMESSAGE\nsubscription:0\n\n{message}\0\nRECEIPT\nreceipt-id:r\n\n\0");
        for (protocol, greeting, answer) in [
            (MessageProtocol::Redis, "", "+OK\r\n"),
            (MessageProtocol::Nats, "INFO {}\r\n", nats.as_str()),
            (
                MessageProtocol::Stomp,
                "CONNECTED\nversion:1.2\n\n\0",
                stomp.as_str(),
            ),
        ] {
            let series = played(protocol, greeting.as_bytes(), answer.as_bytes()).await;
            assert_eq!(series.count(), 3, "{protocol:?}");
        }
    }

    #[test]
    fn a_message_has_the_lengths_that_it_names() {
        let redis = String::from_utf8(sent(MessageProtocol::Redis, 7)).unwrap();
        assert!(
            redis.starts_with("*3\r\n$3\r\nSET\r\n$7\r\norder:7\r\n$300\r\nxxx"),
            "{redis}"
        );
    }
}
