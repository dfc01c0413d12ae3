//! A shop: the real binary in a temporary folder, in one process or in five, where any
//! process can be killed at any moment.
//!
//! **Invariant:** a process that ended without having been killed here is a fault of the
//! shop, and [`Shop::check`] reports it with the end of its log.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use reqwest::Url;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::net::TcpSocket;

use crate::TIMEOUT;
use crate::cgroup::ControlGroup;

/// Every service, in the order of the shop's own list.
pub const SERVICES: [&str; 5] = ["users", "products", "orders", "notifications", "gateway"];

const READY_POLL_INTERVAL: Duration = Duration::from_millis(10);
/// The longest time from SIGTERM to a process's end.
const END_TIMEOUT: Duration = Duration::from_secs(10);
/// The accept backlog of systemd's sockets, which is the kernel's maximum.
const BACKLOG: u32 = 4096;
const END_POLL_INTERVAL: Duration = Duration::from_millis(1);
const LOG_LINES_SHOWN: usize = 15;

/// Hands its standard input over as the one listening socket (sd_listen_fds(3)).
const WITH_SOCKET: &str = r#"LISTEN_FDS=1 LISTEN_PID=$$ exec "$@" 3<&0 </dev/null"#;

/// How many processes a shop runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One, `konbini up`.
    Up,
    /// Five, `konbini run SERVICE` each.
    Run,
}

impl Form {
    /// The names of its processes, in starting order.
    pub fn processes(self) -> &'static [&'static str] {
        match self {
            Self::Up => &["up"],
            Self::Run => &SERVICES,
        }
    }

    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::Up => Self::Run,
            Self::Run => Self::Up,
        }
    }
}

/// A shop's processes and its folder. Dropping it kills the former and removes the latter.
pub struct Shop {
    // Dropped before the folder that they write into.
    processes: Vec<Process>,
    /// Bounds what they use.
    group: Option<ControlGroup>,
    folder: TempDir,
    binary: PathBuf,
    address: SocketAddr,
    /// The gateway's listening socket, if it is held here.
    socket: Option<TcpListener>,
    /// Variables that its processes get.
    variables: Vec<(&'static str, String)>,
    /// Arguments of `konbini up`.
    up: Vec<&'static str>,
}

struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn log_end(&self) -> String {
        let log = self.output();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- {}\n{}", self.log.display(), self.log_end());
        }
    }
}

impl Shop {
    /// A closed shop of `binary`, or of the `konbini` beside this program.
    ///
    /// # Errors
    /// When that binary does not exist.
    pub fn new(binary: Option<PathBuf>) -> anyhow::Result<Self> {
        let beside = || anyhow::Ok(std::env::current_exe()?.with_file_name("konbini"));
        let binary = binary.map_or_else(beside, Ok)?;
        ensure!(
            binary.is_file(),
            "{} is not there: build it with `cargo build`, or name it with --binary",
            binary.display()
        );
        // Restarted processes must listen where they did, so the port is chosen once.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        // The paths of Unix sockets have at most 107 bytes.
        let folder = tempfile::Builder::new().prefix("kb").tempdir()?;
        Ok(Self {
            processes: Vec::new(),
            group: None,
            folder,
            binary,
            address,
            socket: None,
            variables: Vec::new(),
            up: vec!["up"],
        })
    }

    /// Holds the gateway's listening socket from now on and hands it over at each start,
    /// as systemd does: connections wait during a restart instead of being refused.
    ///
    /// # Errors
    /// When the port was taken meanwhile.
    pub fn hold_socket(&mut self) -> anyhow::Result<()> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(self.address)?;
        self.socket = Some(socket.listen(BACKLOG)?.into_std()?);
        Ok(())
    }

    /// Writes the settings of a closed shop whose folder exists, since an account was made
    /// in it.
    ///
    /// # Errors
    /// When the folder does not exist.
    pub fn configure(&self, settings: &str) -> anyhow::Result<()> {
        std::fs::write(self.data().join("konbini.toml"), settings)?;
        Ok(())
    }

    /// Gives a variable to every process that is started from now on.
    pub fn set_variable(&mut self, name: &'static str, text: &str) {
        self.variables.push((name, text.to_owned()));
    }

    /// Puts every process that is started from now on into a group.
    pub fn confine(&mut self, group: ControlGroup) {
        self.group = Some(group);
    }

    /// Whether its processes are in a group.
    pub fn is_confined(&self) -> bool {
        self.group.is_some()
    }

    /// Fills the shop with the demo catalogue at its first start in one process.
    pub fn fill_with_demo(&mut self) {
        self.up.push("--demo");
    }

    /// Adds or changes an account at the command line, in a closed shop or an open one, and
    /// returns the command's output.
    ///
    /// # Errors
    /// When the command fails, with its complaint.
    pub fn add_user(&self, email: &str, role: &str, password: &str) -> anyhow::Result<String> {
        let mut child = self
            .konbini(&["user", "add", "--email", email, "--role", role])
            .arg("--password-stdin")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
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
        Ok(String::from_utf8(out.stdout)?)
    }

    /// Makes the shop, unless it has been made: `konbini run` needs one.
    ///
    /// # Errors
    /// When the command fails, with its complaint.
    pub fn init(&self) -> anyhow::Result<()> {
        if self.data().join("SHOP").exists() {
            return Ok(());
        }
        let out = self.konbini(&["init"]).output()?;
        let complaint = String::from_utf8_lossy(&out.stderr);
        ensure!(out.status.success(), "`konbini init` failed: {complaint}");
        Ok(())
    }

    /// Starts every process of `form`.
    ///
    /// # Errors
    /// When one cannot be spawned, or the shop cannot be made.
    pub fn open(&mut self, form: Form) -> anyhow::Result<()> {
        if form == Form::Run {
            self.init()?;
        }
        form.processes()
            .iter()
            .try_for_each(|name| self.start(name))
    }

    /// Starts one process, `up` or a service.
    ///
    /// # Errors
    /// When it cannot be spawned.
    pub fn start(&mut self, name: &'static str) -> anyhow::Result<()> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log(name))?;
        let run = ["run", name];
        let arguments = if name == "up" { &self.up[..] } else { &run };
        let mut command = self.konbini(arguments);
        command.args([
            "--listen",
            &self.address.to_string(),
            "--log-format",
            "json",
        ]);
        let mut stdin = Stdio::null();
        let is_listening = matches!(name, "up" | "gateway");
        if let Some(socket) = self.socket.as_ref().filter(|_| is_listening) {
            stdin = OwnedFd::from(socket.try_clone()?).into();
            command = handed_over(&command);
        }
        let child = command
            .stdin(stdin)
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", self.binary.display()))?;
        let pid = child.id();
        self.processes
            .push(Process { name, child, log: self.log(name) });
        // Its first moments are outside; a process cannot be started within a group.
        let confined = self.group.as_ref().map_or(Ok(()), |group| group.add(pid));
        confined.with_context(|| format!("{name} could not be put into its control group"))
    }

    /// Kills these processes with SIGKILL, one right after the other, and returns once they
    /// have ended.
    ///
    /// # Errors
    /// When a process had ended by itself.
    pub fn kill(&mut self, names: &[&str]) -> anyhow::Result<()> {
        self.check()?;
        let victims = |process: &mut Process| names.contains(&process.name);
        let mut killed: Vec<Process> = self.processes.extract_if(.., victims).collect();
        for process in &mut killed {
            process.child.kill()?;
        }
        Ok(())
    }

    /// Sends a signal to a process.
    ///
    /// # Errors
    /// When it does not run.
    pub fn signal(&mut self, name: &str, signal: Signal) -> anyhow::Result<()> {
        self.check()?;
        let process = self.processes.iter().find(|one| one.name == name);
        let process = process.with_context(|| format!("{name} does not run"))?;
        Ok(kill_process(Pid::from_child(&process.child), signal)?)
    }

    /// Ends a process with SIGTERM, as systemd does, and returns once it has ended.
    ///
    /// # Errors
    /// When it fails, or does not end within 10 s.
    pub async fn terminate(&mut self, name: &str) -> anyhow::Result<()> {
        self.check()?;
        let place = self.processes.iter().position(|one| one.name == name);
        let place = place.with_context(|| format!("{name} does not run"))?;
        let mut process = self.processes.remove(place);
        kill_process(Pid::from_child(&process.child), Signal::TERM)?;
        let deadline = Instant::now() + END_TIMEOUT;
        loop {
            if let Some(status) = process.child.try_wait()? {
                let log = process.log_end();
                ensure!(status.success(), "{name} ended with {status}\n{log}");
                return Ok(());
            }
            let timeout = END_TIMEOUT.as_secs();
            ensure!(
                Instant::now() < deadline,
                "{name} did not end in {timeout} s"
            );
            tokio::time::sleep(END_POLL_INTERVAL).await;
        }
    }

    /// Ends every process with SIGTERM.
    ///
    /// # Errors
    /// As [`terminate`](Self::terminate).
    pub async fn terminate_all(&mut self) -> anyhow::Result<()> {
        while let Some(process) = self.processes.first() {
            self.terminate(process.name).await?;
        }
        Ok(())
    }

    /// Checks that every started process still runs.
    ///
    /// # Errors
    /// When a process ended by itself, with the end of its log.
    pub fn check(&mut self) -> anyhow::Result<()> {
        for process in &mut self.processes {
            if let Some(status) = process.child.try_wait()? {
                let name = process.name;
                bail!("{name} ended by itself: {status}\n{}", process.log_end());
            }
        }
        Ok(())
    }

    /// Waits until the readiness page reports every service as ready.
    ///
    /// # Errors
    /// When that takes longer than [`TIMEOUT`], or a process ends meanwhile.
    pub async fn ready(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + TIMEOUT;
        let http = reqwest::Client::builder().no_proxy().build()?;
        loop {
            let report = match http.get(self.url("/readyz")).send().await {
                Ok(response) if response.status() == 200 => return Ok(()),
                Ok(response) => response.text().await.unwrap_or_default(),
                Err(error) => error.to_string(),
            };
            self.check()?;
            ensure!(
                Instant::now() < deadline,
                "the shop was not ready within {} s: {report}",
                TIMEOUT.as_secs()
            );
            tokio::time::sleep(READY_POLL_INTERVAL).await;
        }
    }

    /// The processes whose logs report a panic.
    pub fn panicked(&self) -> Vec<&'static str> {
        let has_panicked = |name: &&str| {
            let log = std::fs::read_to_string(self.log(name));
            log.is_ok_and(|log| log.contains("panicked"))
        };
        let names = Form::Up.processes().iter().chain(Form::Run.processes());
        names.copied().filter(has_panicked).collect()
    }

    /// What all running processes logged.
    pub fn output(&self) -> String {
        self.processes.iter().map(Process::output).collect()
    }

    /// The address that the gateway listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a path of the gateway.
    ///
    /// # Panics
    /// When `path` does not begin with a slash.
    pub fn url(&self, path: &str) -> Url {
        let url = Url::parse(&format!("http://{}{path}", self.address));
        url.expect("an address and a path make a URL")
    }

    /// Ends the shop but keeps its data and logs, for an inspection.
    pub fn keep(self) -> PathBuf {
        let Self { processes, folder, .. } = self;
        drop(processes);
        folder.keep()
    }

    /// The process id of a running process.
    pub fn pid(&self, name: &str) -> Option<u32> {
        let process = self.processes.iter().find(|process| process.name == name);
        process.map(|process| process.child.id())
    }

    /// The shop's data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn log(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.log"))
    }

    fn konbini(&self, arguments: &[&str]) -> Command {
        let mut command = command(&self.binary);
        command.args(arguments).arg("--data").arg(self.data());
        command.envs(self.variables.iter().map(|(name, text)| (name, text)));
        command
    }
}

/// A program without the settings that this process may have in its environment.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    let names = std::env::vars_os().map(|(name, _)| name);
    for name in names.filter(|name| name.to_string_lossy().starts_with("KONBINI_")) {
        command.env_remove(name);
    }
    command
}

/// The same command, started by a shell that hands over its standard input: `LISTEN_PID`
/// must be the process's own id, which only that process knows.
fn handed_over(command: &Command) -> Command {
    let mut shell = self::command("sh");
    shell.args(["-c", WITH_SOCKET, "sh"]);
    shell.arg(command.get_program()).args(command.get_args());
    let variables = command.get_envs();
    shell.envs(variables.filter_map(|(name, text)| Some((name, text?))));
    shell
}
