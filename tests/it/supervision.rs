//! The messages to systemd (sd_notify(3)), read from a socket in systemd's place.

use std::os::unix::net::UnixDatagram;
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::world::konbini;

/// The longest wait for a message: a process starts on a host that does much else.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(60);

/// The interval of the watchdog, in microseconds.
const WATCHDOG_USEC: &str = "200000";

/// A process of konbini, and its supervisor's socket.
struct Supervised {
    child: Child,
    socket: UnixDatagram,
}

impl Supervised {
    fn start(folder: &TempDir, args: &[&str]) -> Self {
        let path = folder.path().join(format!("notify.{}", args[0]));
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(MESSAGE_TIMEOUT)).unwrap();
        let mut command = konbini(args);
        command.arg("--data").arg(folder.path().join("data"));
        command
            .env("NOTIFY_SOCKET", &path)
            .env("WATCHDOG_USEC", WATCHDOG_USEC);
        let child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, socket }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn message(&self) -> String {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).expect("a message in time");
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    /// The next message that is no heartbeat.
    fn event(&self) -> String {
        std::iter::repeat_with(|| self.message())
            .find(|message| message.trim_end() != "WATCHDOG=1")
            .unwrap()
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn systemd_is_notified_of_readiness_progress_reloads_and_the_end() {
    for args in [&["up", "--listen", "127.0.0.1:0"][..], &["run", "orders"]] {
        let folder = TempDir::new().unwrap();
        let data = folder.path().join("data");
        assert!(
            konbini(&["init", "--data"])
                .arg(data)
                .output()
                .unwrap()
                .status
                .success()
        );
        let mut process = Supervised::start(&folder, args);
        assert_eq!(process.message(), "READY=1\n", "no heartbeat comes before");
        // Nothing happens in this shop: an idle process is healthy.
        for _ in 0..5 {
            assert_eq!(process.message(), "WATCHDOG=1\n");
        }
        process.signal(Signal::HUP);
        let reloading = process.event();
        let since = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
        assert!(
            since.is_some_and(|since| since.trim_end().parse::<u64>().is_ok()),
            "{reloading}"
        );
        assert_eq!(process.event(), "READY=1\n");
        assert_eq!(
            process.message(),
            "WATCHDOG=1\n",
            "it goes on after a reload"
        );
        process.signal(Signal::TERM);
        assert_eq!(process.event(), "STOPPING=1\n");
        assert!(process.child.wait().unwrap().success());
    }
}
