//! A shop of one's own: the real binary in a temporary folder, in one process or
//! in five, where any process can be killed at any moment.
//!
//! **Invariant:** a process that ended without having been killed here is a fault
//! of the shop, and [`Shop::check`] says so with the end of its log.

use std::fs::File;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::ValueEnum;
use reqwest::Url;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::net::TcpSocket;

/// Every service, in the order of the shop's own list.
pub(crate) const SERVICES: [&str; 5] = ["users", "products", "orders", "notifications", "gateway"];

/// How long a shop may take until it says that it is ready.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
const READY_LOOK: Duration = Duration::from_millis(10);
/// How long a process may take to end when it is told to.
const END_TIMEOUT: Duration = Duration::from_secs(10);
/// As many may wait at a held door as at systemd's: the kernel lets no more.
const BACKLOG: u32 = 4096;
const END_LOOK: Duration = Duration::from_millis(1);
const LOG_LINES_SHOWN: usize = 15;

/// The settings that a shop here must not take from whoever runs it.
const ENVIRONMENT: [&str; 4] = [
    "KONBINI_DATA",
    "KONBINI_LISTEN",
    "KONBINI_LOG",
    "KONBINI_LOG_FORMAT",
];

/// Hands its standard input over as the one listening socket (sd_listen_fds(3)).
const WITH_SOCKET: &str = r#"LISTEN_FDS=1 LISTEN_PID=$$ exec "$@" 3<&0 </dev/null"#;

/// How many processes a shop is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// One, `konbini up`.
    Up,
    /// Five, `konbini run SERVICE` each.
    Run,
}

impl Form {
    /// The names of its processes.
    pub(crate) fn processes(self) -> &'static [&'static str] {
        match self {
            Self::Up => &["up"],
            Self::Run => &SERVICES,
        }
    }

    /// The other one.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Up => Self::Run,
            Self::Run => Self::Up,
        }
    }
}

/// Dropping it kills its processes and removes its folder.
pub(crate) struct Shop {
    // Dropped before the folder that they write into is.
    processes: Vec<Process>,
    folder: TempDir,
    binary: PathBuf,
    listen: String,
    /// The gateway's socket, if it is held here.
    door: Option<TcpListener>,
}

struct Process {
    name: &'static str,
    child: Child,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Shop {
    /// A closed shop of `binary`, or of the `konbini` that lies beside this
    /// program.
    pub(crate) fn new(binary: Option<PathBuf>) -> anyhow::Result<Self> {
        let beside = || anyhow::Ok(std::env::current_exe()?.with_file_name("konbini"));
        let binary = binary.map_or_else(beside, Ok)?;
        ensure!(
            binary.is_file(),
            "{} is not there: build it with `cargo build`, or name it with --binary",
            binary.display()
        );
        // Restarted processes must be found where they were, so the port is
        // chosen once: free now, and nobody else asks for this one.
        let probe = std::net::TcpListener::bind("127.0.0.1:0")?;
        let listen = probe.local_addr()?.to_string();
        // Socket paths are short by nature, so this name is, too.
        let folder = tempfile::Builder::new().prefix("kb").tempdir()?;
        Ok(Self { processes: Vec::new(), folder, binary, listen, door: None })
    }

    /// Listens for the gateway from now on and hands it the socket at each start, so
    /// that who connects while it is restarted waits instead of being refused.
    pub(crate) fn hold_door(&mut self) -> anyhow::Result<()> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(self.listen.parse()?)?;
        self.door = Some(socket.listen(BACKLOG)?.into_std()?);
        Ok(())
    }

    /// Writes the settings of a closed shop whose folder is there: an account was
    /// made in it.
    pub(crate) fn configure(&self, settings: &str) -> anyhow::Result<()> {
        std::fs::write(self.data().join("konbini.toml"), settings)?;
        Ok(())
    }

    /// Makes an account at the command line, in a closed shop or an open one.
    pub(crate) fn add_user(&self, email: &str, role: &str, password: &str) -> anyhow::Result<()> {
        let mut child = self
            .konbini(&["user", "add", "--email", email, "--role", role])
            .arg("--password-stdin")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut input = child.stdin.take().context("standard input was piped")?;
        writeln!(input, "{password}")?;
        drop(input);
        let out = child.wait_with_output()?;
        let complaint = String::from_utf8_lossy(&out.stderr);
        ensure!(
            out.status.success(),
            "`konbini user add` failed: {complaint}"
        );
        Ok(())
    }

    /// Starts every process of `form`.
    pub(crate) fn open(&mut self, form: Form) -> anyhow::Result<()> {
        form.processes()
            .iter()
            .try_for_each(|name| self.start(name))
    }

    /// Starts one process, `up` or a service.
    pub(crate) fn start(&mut self, name: &'static str) -> anyhow::Result<()> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log(name))?;
        let arguments: &[&str] = if name == "up" { &["up"] } else { &["run", name] };
        let mut command = self.konbini(arguments);
        command.args(["--listen", &self.listen, "--log-format", "json"]);
        let mut stdin = Stdio::null();
        if let Some(door) = self.door.as_ref().filter(|_| opens_door(name)) {
            stdin = OwnedFd::from(door.try_clone()?).into();
            command = handed_over(&command);
        }
        let child = command
            .stdin(stdin)
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", self.binary.display()))?;
        self.processes.push(Process { name, child });
        Ok(())
    }

    /// Kills these processes with SIGKILL, one right after the other, and returns
    /// once they are gone.
    pub(crate) fn kill(&mut self, names: &[&str]) -> anyhow::Result<()> {
        self.check()?;
        let victims = |process: &mut Process| names.contains(&process.name);
        let mut killed: Vec<Process> = self.processes.extract_if(.., victims).collect();
        for process in &mut killed {
            process.child.kill()?;
        }
        Ok(())
    }

    /// Ends a process as systemd does, and returns once it is gone.
    ///
    /// # Errors
    /// When it fails, or takes longer than it may.
    pub(crate) async fn terminate(&mut self, name: &str) -> anyhow::Result<()> {
        self.check()?;
        let place = self.processes.iter().position(|one| one.name == name);
        let place = place.with_context(|| format!("{name} does not run"))?;
        let mut process = self.processes.remove(place);
        kill_process(Pid::from_child(&process.child), Signal::TERM)?;
        let deadline = Instant::now() + END_TIMEOUT;
        loop {
            if let Some(status) = process.child.try_wait()? {
                let log = self.log_end(name);
                ensure!(status.success(), "{name} ended with {status}\n{log}");
                return Ok(());
            }
            let timeout = END_TIMEOUT.as_secs();
            ensure!(
                Instant::now() < deadline,
                "{name} did not end in {timeout} s"
            );
            tokio::time::sleep(END_LOOK).await;
        }
    }

    /// # Errors
    /// When a process ended by itself, with the end of its log.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        for process in &mut self.processes {
            if let Some(status) = process.child.try_wait()? {
                let name = process.name;
                bail!("{name} ended by itself: {status}\n{}", self.log_end(name));
            }
        }
        Ok(())
    }

    /// Waits until the readiness page says that every service is there.
    pub(crate) async fn ready(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY_TIMEOUT;
        let http = reqwest::Client::builder().no_proxy().build()?;
        loop {
            let said = match http.get(self.url()?.join("readyz")?).send().await {
                Ok(answer) if answer.status() == 200 => return Ok(()),
                Ok(answer) => answer.text().await.unwrap_or_default(),
                Err(error) => error.to_string(),
            };
            self.check()?;
            ensure!(
                Instant::now() < deadline,
                "the shop was not ready within {} s: {said}",
                READY_TIMEOUT.as_secs()
            );
            tokio::time::sleep(READY_LOOK).await;
        }
    }

    /// Which logs tell of a panic.
    pub(crate) fn panicked(&self) -> Vec<&'static str> {
        let told = |name: &&str| {
            let log = std::fs::read_to_string(self.log(name));
            log.is_ok_and(|log| log.contains("panicked"))
        };
        let names = Form::Up.processes().iter().chain(Form::Run.processes());
        names.copied().filter(told).collect()
    }

    /// The shop's address.
    pub(crate) fn url(&self) -> anyhow::Result<Url> {
        Ok(Url::parse(&format!("http://{}", self.listen))?)
    }

    /// Ends the shop but leaves its data and logs, for whoever looks into a fault.
    pub(crate) fn keep(self) -> PathBuf {
        let Self { processes, folder, .. } = self;
        drop(processes);
        folder.keep()
    }

    /// The number of a running process.
    pub(crate) fn pid(&self, name: &str) -> Option<u32> {
        let process = self.processes.iter().find(|process| process.name == name);
        process.map(|process| process.child.id())
    }

    /// The shop's data folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn log(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.log"))
    }

    fn log_end(&self, name: &str) -> String {
        let log = std::fs::read_to_string(self.log(name)).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
    }

    fn konbini(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(arguments).arg("--data").arg(self.data());
        for name in ENVIRONMENT {
            command.env_remove(name);
        }
        command
    }
}

fn opens_door(name: &str) -> bool {
    matches!(name, "up" | "gateway")
}

/// The same command, started by a shell that hands over its standard input: the
/// process that a socket is for must be named by its own ID.
fn handed_over(command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", WITH_SOCKET, "sh"]);
    shell.arg(command.get_program()).args(command.get_args());
    for name in ENVIRONMENT {
        shell.env_remove(name);
    }
    shell
}
