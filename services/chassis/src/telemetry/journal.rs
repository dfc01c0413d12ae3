//! Log lines as fields of journald, by its native protocol
//! (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL>): `journalctl KONBINI_REQUEST_ID=…` then finds
//! what one request did in all services.

use std::os::unix::net::UnixDatagram;
use std::path::Path;

use serde_json::{Map, Value};

/// The socket of journald.
const SOCKET: &str = "/run/systemd/journal/socket";

/// The longest name of a field (journald refuses longer ones), in bytes.
const NAME_BYTES_MAX: usize = 64;

/// A connection to journald.
pub(super) struct Journal(UnixDatagram);

impl Journal {
    /// Connects to the journald of this host.
    pub(super) fn connect() -> Option<Self> {
        Self::connect_to(Path::new(SOCKET))
    }

    fn connect_to(socket: &Path) -> Option<Self> {
        let own = UnixDatagram::unbound().ok()?;
        own.connect(socket).ok()?;
        Some(Self(own))
    }

    /// Sends a line of JSON as an entry; returns whether journald has it. It does not take
    /// those that are longer than a datagram, nor any while it is stopped.
    pub(super) fn send(&self, line: &[u8], priority: u8) -> bool {
        let entry = serde_json::from_slice(line).map(|fields| entry(fields, priority));
        entry.is_ok_and(|entry| self.0.send(&entry).is_ok())
    }
}

/// The entry of a line. People read its message, so the fields are in that, too.
fn entry(mut line: Map<String, Value>, priority: u8) -> Vec<u8> {
    let mut entry = Vec::new();
    // journald has its own.
    line.remove("timestamp");
    line.remove("level");
    let mut message = line.remove("message").map(text).unwrap_or_default();
    field(&mut entry, "PRIORITY", &priority.to_string());
    field(&mut entry, "SYSLOG_IDENTIFIER", "konbini");
    if let Some(target) = line.remove("target") {
        field(&mut entry, "TARGET", &text(target));
    }
    for (name, value) in line {
        let value = text(value);
        message.push_str(&format!(" {name}={value}"));
        field(&mut entry, &field_name(&name), &value);
    }
    field(&mut entry, "MESSAGE", message.trim_start());
    entry
}

fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// A name of capitals, digits and underscores.
fn field_name(name: &str) -> String {
    let upper = |letter: char| match letter.to_ascii_uppercase() {
        letter if letter.is_ascii_alphanumeric() => letter,
        _ => '_',
    };
    let name = name.chars().map(upper);
    let prefixed = "KONBINI_".chars().chain(name);
    prefixed.take(NAME_BYTES_MAX).collect()
}

/// Appends a field. A value of several lines is preceded by its length.
fn field(entry: &mut Vec<u8>, name: &str, value: &str) {
    entry.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        entry.push(b'\n');
        entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        entry.push(b'=');
    }
    entry.extend_from_slice(value.as_bytes());
    entry.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_becomes_fields_and_a_message_for_people() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let journald = UnixDatagram::bind(&socket).unwrap();
        let journal = Journal::connect_to(&socket).unwrap();
        let line = br#"{"timestamp":"2026-11-30T10:00:00Z","level":"WARN","message":"no answer","http.tries":3,"request_id":"req_1","why":"a\nb","target":"mesh::ask"}
"#;
        assert!(journal.send(line, 4));
        let mut entry = [0; 1024];
        let length = journald.recv(&mut entry).unwrap();
        let expected = [
            &b"PRIORITY=4\nSYSLOG_IDENTIFIER=konbini\nTARGET=mesh::ask\n"[..],
            b"KONBINI_HTTP_TRIES=3\nKONBINI_REQUEST_ID=req_1\n",
            b"KONBINI_WHY\n\x03\0\0\0\0\0\0\0a\nb\n",
            b"MESSAGE\n\x2f\0\0\0\0\0\0\0no answer http.tries=3 request_id=req_1 why=a\nb\n",
        ]
        .concat();
        assert_eq!(
            String::from_utf8_lossy(&entry[..length]),
            String::from_utf8_lossy(&expected)
        );
        assert!(!journal.send(b"a line for people\n", 4));
        drop(journald);
        assert!(!journal.send(line, 4), "it is stopped");
        assert!(Journal::connect_to(&folder.path().join("none")).is_none());
    }
}
