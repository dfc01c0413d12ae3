//! Starts the real binary in a temporary folder, in one process or in five.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long anything may take on a busy machine.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

/// The services, in the order of their names in the readiness page.
pub(crate) const SERVICES: [&str; 5] = ["users", "products", "orders", "notifications", "gateway"];

/// A `konbini` process.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `konbini` with these arguments, logging into `log`.
    pub(crate) fn start(args: &[&str], log: &Path) -> Self {
        let file = File::options().create(true).append(true).open(log).unwrap();
        let child = konbini(args)
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Self { child, log: log.to_owned() }
    }

    /// Starts `konbini` with a listening socket (sd_listen_fds(3)). The process that
    /// it is for must be named by its own ID, which only a shell knows beforehand.
    fn start_at(door: &TcpListener, args: &[&str], log: &Path) -> Self {
        let hand_over = r#"LISTEN_FDS=1 LISTEN_PID=$$ exec "$@" 3<&0 </dev/null"#;
        let file = File::options().create(true).append(true).open(log).unwrap();
        let konbini = konbini(args);
        let mut shell = Command::new("sh");
        for (name, _) in konbini.get_envs() {
            shell.env_remove(name);
        }
        let child = shell
            .args(["-c", hand_over, "sh"])
            .arg(konbini.get_program())
            .args(konbini.get_args())
            .stdin(OwnedFd::from(door.try_clone().unwrap()))
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Self { child, log: log.to_owned() }
    }

    /// As the plug, or the kernel's memory killer.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// As systemd would, and within its time.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).unwrap();
        let told = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(
                told.elapsed() < Duration::from_secs(10),
                "SIGTERM did not end it in 10 s"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let output = self.output();
            let tail: Vec<_> = output.lines().rev().take(20).collect();
            let tail: Vec<_> = tail.into_iter().rev().collect();
            eprintln!("--- {}\n{}", self.log.display(), tail.join("\n"));
        }
    }
}

/// The binary with a clean environment.
pub(crate) fn konbini(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_konbini"));
    command.args(args);
    for name in [
        "KONBINI_DATA",
        "KONBINI_LISTEN",
        "KONBINI_LOG",
        "KONBINI_LOG_FORMAT",
    ] {
        command.env_remove(name);
    }
    command
}

/// A shop and its processes.
pub(crate) struct Shop {
    // Dropped before the folder with their logs is.
    processes: Vec<(&'static str, Process)>,
    folder: TempDir,
    listen: String,
    /// The gateway's socket, if it is held here.
    door: Option<TcpListener>,
}

impl Shop {
    /// All services in one process.
    pub(crate) async fn up() -> Self {
        let mut shop = Self::closed();
        shop.start("up");
        shop.ready().await;
        shop
    }

    /// Each service in a process of its own.
    pub(crate) async fn run() -> Self {
        let mut shop = Self::closed();
        for service in SERVICES {
            shop.start(service);
        }
        shop.ready().await;
        shop
    }

    /// As [`run`](Self::run), with the gateway's socket held as systemd holds it.
    pub(crate) async fn run_behind_held_door() -> Self {
        let mut shop = Self::closed();
        shop.door = Some(TcpListener::bind(&shop.listen).unwrap());
        for service in SERVICES {
            shop.start(service);
        }
        shop.ready().await;
        shop
    }

    /// None yet; its folder is there.
    pub(crate) fn closed() -> Self {
        // Restarted processes must be found where they were, so the port is
        // chosen once: free now, and nobody else asks for this one.
        let probe = TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = probe.local_addr().unwrap().to_string();
        let folder = tempfile::Builder::new().prefix("kb").tempdir().unwrap();
        Self { processes: Vec::new(), folder, listen, door: None }
    }

    /// Starts `up`, or one service.
    pub(crate) fn start(&mut self, name: &'static str) {
        let data = self.data();
        let log = self.folder.path().join(format!("{name}.log"));
        let mut args = if name == "up" { vec!["up"] } else { vec!["run", name] };
        args.extend([
            "--data",
            &data,
            "--listen",
            &self.listen,
            "--log-format",
            "json",
        ]);
        let door = self.door.as_ref().filter(|_| name == "gateway");
        let process = match door {
            Some(door) => Process::start_at(door, &args, &log),
            None => Process::start(&args, &log),
        };
        self.processes.push((name, process));
    }

    /// Kills a process with SIGKILL.
    pub(crate) fn kill(&mut self, name: &str) {
        let place = self
            .processes
            .iter()
            .position(|(other, _)| *other == name)
            .unwrap();
        self.processes.remove(place).1.kill();
    }

    /// Ends a process with SIGTERM; it must exit with 0.
    pub(crate) fn end(&mut self, name: &str) {
        let place = self
            .processes
            .iter()
            .position(|(other, _)| *other == name)
            .unwrap();
        let status = self.processes.remove(place).1.terminate();
        assert!(status.success(), "{name}: {status}");
    }

    /// Ends every process with SIGTERM; each must exit with 0.
    pub(crate) fn terminate(&mut self) {
        for (name, mut process) in self.processes.drain(..) {
            let status = process.terminate();
            assert!(status.success(), "{name}: {status}");
        }
    }

    /// Waits until the readiness page says that every service is there.
    pub(crate) async fn ready(&mut self) {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let answer = reqwest::get(self.url("/readyz")).await;
            let said = match answer {
                Ok(answer) if answer.status() == 200 => return,
                Ok(answer) => answer.text().await.unwrap_or_default(),
                Err(error) => error.to_string(),
            };
            for (name, process) in &mut self.processes {
                let ended = process.child.try_wait().unwrap();
                assert!(
                    ended.is_none(),
                    "{name} ended: {ended:?}\n{}",
                    process.output()
                );
            }
            assert!(Instant::now() < deadline, "not ready: {said}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) fn data(&self) -> String {
        self.folder.path().join("data").display().to_string()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.listen)
    }

    /// What all processes printed.
    pub(crate) fn output(&self) -> String {
        self.processes
            .iter()
            .map(|(_, process)| process.output())
            .collect()
    }

    /// Makes an account with a role from the command line.
    pub(crate) fn add_user(&self, email: &str, role: &str, password: &str) -> String {
        let data = self.data();
        let args = [
            "user",
            "add",
            "--data",
            &data,
            "--email",
            email,
            "--role",
            role,
            "--password-stdin",
        ];
        let mut child = konbini(&args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        writeln!(child.stdin.take().unwrap(), "{password}").unwrap();
        let mut said = String::new();
        child
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        assert!(child.wait().unwrap().success(), "{said}");
        said
    }
}

/// Waits until `condition` holds.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let deadline = Instant::now() + TIMEOUT;
    while !condition().await {
        assert!(Instant::now() < deadline, "not within {TIMEOUT:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
