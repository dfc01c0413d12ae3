//! nginx, haproxy and caddy as their packages bring them, if they are installed, each with
//! the shortest configuration that does the work.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::{Endpoint, EndpointName, PRODUCT};
use crate::daemon::{Daemon, free_address};

/// The proxies that run. Dropping them ends them.
pub(super) struct ReferenceProxies {
    running: Vec<Running>,
    _folder: TempDir,
}

struct Running {
    daemon: Daemon,
    endpoints: Vec<(EndpointName, SocketAddr)>,
}

impl ReferenceProxies {
    /// Starts those that are installed and names the others on standard error.
    pub(super) async fn start(upstream: SocketAddr) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("endpoints").tempdir()?;
        let mut running = Vec::new();
        for start in [nginx, haproxy, caddy] {
            running.extend(start(folder.path(), upstream)?);
        }
        for Running { daemon, endpoints } in &mut running {
            for (_, address) in endpoints {
                daemon.listens(*address).await?;
            }
        }
        Ok(Self { running, _folder: folder })
    }

    /// Their endpoints.
    pub(super) fn endpoints(&self) -> impl Iterator<Item = Endpoint> {
        self.running.iter().flat_map(|one| {
            let pids = one.daemon.pids();
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

fn haproxy(folder: &Path, upstream: SocketAddr) -> anyhow::Result<Option<Running>> {
    let address = free_address()?;
    let settings = format!(
        "defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
listen proxy
  bind {address}
  server upstream {upstream}
"
    );
    let file = folder.join("haproxy.cfg");
    std::fs::write(&file, settings)?;
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-f").arg(&file);
    spawn("haproxy", command, vec![(EndpointName::Haproxy, address)])
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
    name: &'static str,
    command: Command,
    endpoints: Vec<(EndpointName, SocketAddr)>,
) -> anyhow::Result<Option<Running>> {
    let daemon = Daemon::spawn(name, command)?;
    Ok(daemon.map(|daemon| Running { daemon, endpoints }))
}
