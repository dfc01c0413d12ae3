//! nginx and caddy as their packages bring them, if they are installed, each with
//! the shortest configuration that does the work.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tempfile::TempDir;
use tokio::net::TcpStream;

use super::{Endpoint, EndpointName, PRODUCT};

const START_TIMEOUT: Duration = Duration::from_secs(10);
const START_LOOK: Duration = Duration::from_millis(10);

/// The proxies that run. Dropping them ends them.
pub(super) struct ReferenceProxies {
    running: Vec<Running>,
    _folder: TempDir,
}

struct Running {
    child: Child,
    endpoints: Vec<(EndpointName, SocketAddr)>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // nginx's workers end with their master only if it is asked kindly.
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}

impl ReferenceProxies {
    /// Starts those that are installed and names the others on standard error.
    pub(super) async fn start(upstream: SocketAddr) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("endpoints").tempdir()?;
        let mut running = Vec::new();
        for start in [nginx, caddy] {
            running.extend(start(folder.path(), upstream)?);
        }
        for (name, address) in running.iter().flat_map(|one| &one.endpoints) {
            let deadline = Instant::now() + START_TIMEOUT;
            while TcpStream::connect(address).await.is_err() {
                ensure!(Instant::now() < deadline, "{name:?} does not listen");
                tokio::time::sleep(START_LOOK).await;
            }
        }
        Ok(Self { running, _folder: folder })
    }

    /// Their endpoints.
    pub(super) fn endpoints(&self) -> impl Iterator<Item = Endpoint> {
        self.running.iter().flat_map(|one| {
            let pids = family(one.child.id());
            one.endpoints.iter().map(move |&(name, address)| Endpoint {
                name,
                address,
                path: PRODUCT,
                token: None,
                pids: pids.clone(),
            })
        })
    }
}

fn nginx(folder: &Path, upstream: SocketAddr) -> anyhow::Result<Option<Running>> {
    let (kept, plain) = (free_address()?, free_address()?);
    let path = folder.display();
    let settings = format!(
        "daemon off; worker_processes auto; pid {path}/nginx.pid; error_log stderr crit;
events {{ worker_connections 2048; }}
http {{
  access_log off; keepalive_requests 1000000000;
  client_body_temp_path {path}/body; proxy_temp_path {path}/proxy; fastcgi_temp_path {path}/fastcgi;
  uwsgi_temp_path {path}/uwsgi; scgi_temp_path {path}/scgi;
  upstream kept {{ server {upstream}; keepalive 128; keepalive_requests 1000000000; }}
  server {{
    listen {kept};
    location / {{ proxy_pass http://kept; proxy_http_version 1.1; proxy_set_header Connection \"\"; }}
  }}
  server {{ listen {plain}; location / {{ proxy_pass http://{upstream}; }} }}
}}
"
    );
    let file = folder.join("nginx.conf");
    std::fs::write(&file, settings)?;
    let mut command = Command::new("nginx");
    command.arg("-p").arg(folder).arg("-c").arg(&file);
    let endpoints = vec![
        (EndpointName::NginxKept, kept),
        (EndpointName::NginxPlain, plain),
    ];
    spawn("nginx", command, endpoints)
}

fn caddy(folder: &Path, upstream: SocketAddr) -> anyhow::Result<Option<Running>> {
    let address = free_address()?;
    // For any `Host`: a site that is not asked for answers 200 with nothing in it.
    let port = address.port();
    let settings = format!(
        "{{\n  admin off\n  auto_https off\n}}\nhttp://:{port} {{\n  bind 127.0.0.1\n  reverse_proxy {upstream}\n}}\n"
    );
    let file = folder.join("Caddyfile");
    std::fs::write(&file, settings)?;
    let mut command = Command::new("caddy");
    command
        .args(["run", "--adapter", "caddyfile", "--config"])
        .arg(&file)
        .env("HOME", folder)
        .env("XDG_CONFIG_HOME", folder)
        .env("XDG_DATA_HOME", folder);
    spawn("caddy", command, vec![(EndpointName::Caddy, address)])
}

fn spawn(
    name: &str,
    mut command: Command,
    endpoints: Vec<(EndpointName, SocketAddr)>,
) -> anyhow::Result<Option<Running>> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    match command.spawn() {
        Ok(child) => Ok(Some(Running { child, endpoints })),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            anstream::eprintln!("skipped: {name} is not installed");
            Ok(None)
        }
        Err(error) => Err(error).with_context(|| format!("cannot start {name}")),
    }
}

fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// A process and its children.
fn family(pid: u32) -> Vec<u32> {
    let children = format!("/proc/{pid}/task/{pid}/children");
    let children = std::fs::read_to_string(children).unwrap_or_default();
    let children = children
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok());
    [pid].into_iter().chain(children).collect()
}
