//! The secrets of a shop: private keys, and the random bytes of each service.
//!
//! A secret may be a systemd credential (systemd.exec(5), `LoadCredentialEncrypted=`)
//! instead of a file of the data folder: `KID.secret`, or `SERVICE.NAME.secret`.
//!
//! **Invariants:** a secret's file is written atomically with mode 0600. Credentials are
//! never written. No error contains a secret.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;

use super::{Folder, MARKER, write_new};
use crate::Error;
use crate::token::{self, KeyPair};

const SECRET: &str = ".secret";
const DRAFT: &str = ".draft";

impl Folder {
    /// Writes a private key atomically, mode 0600.
    ///
    /// # Errors
    /// [`Error::Folder`] when it cannot be written.
    pub fn keep_secret(&self, pair: &KeyPair) -> Result<(), Error> {
        let data_dir = self.data_dir("keys")?;
        write_key(&data_dir, pair)
            .map_err(|error| Error::Folder { path: data_dir, why: error.to_string() })
    }

    /// Reads the private key of a key id.
    ///
    /// # Errors
    /// [`Error::Folder`] when it is absent or damaged.
    pub fn secret(&self, kid: &str) -> Result<KeyPair, Error> {
        let name = file_name(kid);
        let (file, text) = self.read_secret(&name, &self.path.join("keys").join(&name));
        let failed = |why: String| Error::Folder { path: file.clone(), why };
        let text = text.map_err(|error| failed(error.to_string()))?;
        KeyPair::parse(text.trim())
            .filter(|pair| pair.kid() == kid)
            .ok_or_else(|| failed("not the private key (PASERK k4.secret) of its name".into()))
    }

    /// The private keys in the folder, by the ids in their names, that are neither the root's
    /// nor those of `kids`: their keys are retired, or were never published.
    ///
    /// # Errors
    /// [`Error::Folder`] when the folder cannot be read.
    pub fn other_secrets(&self, kids: &[String]) -> Result<BTreeMap<String, PathBuf>, Error> {
        let data_dir = self.data_dir("keys")?;
        let failed =
            |error: io::Error| Error::Folder { path: data_dir.clone(), why: error.to_string() };
        let root = token::kid_of(self.root_key());
        let mut others = BTreeMap::new();
        for entry in fs::read_dir(&data_dir).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let kid = name.strip_suffix(SECRET).or(name.strip_suffix(DRAFT));
            let Some(kid) = kid.filter(|kid| kid.starts_with("k4.pid.")) else {
                continue;
            };
            if root.as_deref() != Some(kid) && !kids.iter().any(|other| other == kid) {
                others.insert(kid.to_owned(), entry.path());
            }
        }
        Ok(others)
    }

    /// Deletes the [other secrets](Self::other_secrets), and returns their ids. Credentials are
    /// left alone. Without the root's private key nothing is deleted: one of them may be it,
    /// under a marker that is damaged or another shop's.
    ///
    /// # Errors
    /// [`Error::Folder`] when the folder cannot be read or written.
    pub fn retain_secrets(&self, kids: &[String]) -> Result<Vec<String>, Error> {
        if self.root_secret().is_err() {
            return Ok(Vec::new());
        }
        let gone: Vec<_> = self.other_secrets(kids)?.into_keys().collect();
        self.delete_secrets(&gone)?;
        Ok(gone)
    }

    /// Deletes the files of these private keys, durably. Credentials are left alone.
    ///
    /// # Errors
    /// [`Error::Folder`] when the folder cannot be written.
    pub fn delete_secrets(&self, kids: &[String]) -> Result<(), Error> {
        if kids.is_empty() {
            return Ok(());
        }
        let data_dir = self.data_dir("keys")?;
        let failed =
            |error: io::Error| Error::Folder { path: data_dir.clone(), why: error.to_string() };
        for kid in kids {
            for name in [file_name(kid), format!("{kid}{DRAFT}")] {
                match fs::remove_file(data_dir.join(name)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(failed(error));
                    }
                    _ => {}
                }
            }
        }
        File::open(&data_dir)
            .and_then(|data_dir| data_dir.sync_all())
            .map_err(failed)
    }

    /// 32 random bytes of one service, created at the first call. The service must hold the
    /// lock of its store, so that no other process creates them too.
    ///
    /// # Errors
    /// [`Error::Folder`] when they cannot be written or are damaged.
    pub fn service_secret(&self, service: &str, name: &str) -> Result<[u8; 32], Error> {
        let data_dir = self.data_dir(service)?;
        let credential = format!("{service}.{}", file_name(name));
        let (file, text) = self.read_secret(&credential, &data_dir.join(file_name(name)));
        let failed = |why: String| Error::Folder { path: file.clone(), why };
        let text = match text {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let made = HEXLOWER.encode(&rand::random::<[u8; 32]>());
                write_private(&data_dir, name, &made).map(|()| made)
            }
            read => read,
        };
        let text = text.map_err(|error| failed(error.to_string()))?;
        let bytes = HEXLOWER.decode(text.trim().as_bytes()).ok();
        bytes
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| failed("not 64 hexadecimal digits; is the file damaged?".into()))
    }

    /// The stored secret `name` of a service.
    ///
    /// # Errors
    /// [`Error::Folder`] when it cannot be read.
    pub fn kept_secret(&self, service: &str, name: &str) -> Result<Option<String>, Error> {
        let data_dir = self.data_dir(service)?;
        let credential = format!("{service}.{}", file_name(name));
        match self.read_secret(&credential, &data_dir.join(file_name(name))) {
            (_, Ok(text)) => Ok(Some(text)),
            (_, Err(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            (path, Err(error)) => Err(Error::Folder { path, why: error.to_string() }),
        }
    }

    /// Replaces the secret `name` of a service, mode 0600.
    ///
    /// # Errors
    /// [`Error::Folder`] when it cannot be written.
    pub fn keep_service_secret(&self, service: &str, name: &str, text: &str) -> Result<(), Error> {
        let data_dir = self.data_dir(service)?;
        write_private(&data_dir, name, text)
            .map_err(|error| Error::Folder { path: data_dir, why: error.to_string() })
    }

    /// A secret's text and its path: a credential, else a file of the folder.
    fn read_secret(&self, credential: &str, file: &Path) -> (PathBuf, io::Result<String>) {
        if let Some(folder) = &self.credentials {
            let given = folder.join(credential);
            match fs::read_to_string(&given) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                read => return (given, read),
            }
        }
        (file.to_owned(), read_private(file))
    }

    /// Whether there is a file or a credential of the root's private key, whatever it holds.
    pub fn has_root_secret(&self) -> bool {
        let Some(kid) = token::kid_of(self.root_key()) else {
            return false;
        };
        let name = file_name(&kid);
        let read = self.read_secret(&name, &self.path.join("keys").join(&name));
        !matches!(read, (_, Err(error)) if error.kind() == io::ErrorKind::NotFound)
    }

    /// The root key pair, on the host that has it.
    ///
    /// # Errors
    /// [`Error::Folder`] when it is not here or is damaged.
    pub fn root_secret(&self) -> Result<KeyPair, Error> {
        let kid = token::kid_of(self.root_key()).ok_or_else(|| Error::Folder {
            path: self.path.join(MARKER),
            why: "its root_key is not a public key (PASERK k4.public)".into(),
        })?;
        self.secret(&kid).map_err(|error| match error {
            Error::Folder { path, why } => Error::Folder {
                path,
                why: format!(
                    "{why} (the shop's root key, which vouches for the keys that sign tokens)"
                ),
            },
            other => other,
        })
    }
}

/// systemd's folder of credentials.
#[expect(
    clippy::disallowed_methods,
    reason = "no setting: systemd.exec(5) names the folder so"
)]
pub(super) fn credentials() -> Option<PathBuf> {
    std::env::var("CREDENTIALS_DIRECTORY")
        .ok()
        .map(PathBuf::from)
}

/// Reads a secret's file and makes its mode 0600.
fn read_private(file: &Path) -> io::Result<String> {
    let opened = File::open(file)?;
    let mode = opened.metadata()?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        tracing::warn!(file = %file.display(), "a secret was readable by others (mode {mode:o}); it is 600 now");
        opened.set_permissions(Permissions::from_mode(0o600))?;
    }
    io::read_to_string(opened)
}

pub(super) fn file_name(name: &str) -> String {
    format!("{name}{SECRET}")
}

pub(super) fn write_key(data_dir: &Path, pair: &KeyPair) -> io::Result<()> {
    write_private(data_dir, &pair.kid(), &pair.secret_text())
}

fn write_private(data_dir: &Path, name: &str, content: &str) -> io::Result<()> {
    let file = data_dir.join(file_name(name));
    let draft = data_dir.join(format!("{name}{DRAFT}"));
    let _ = fs::remove_file(&draft);
    write_new(&draft, content.as_bytes())?;
    fs::rename(&draft, &file)?;
    File::open(data_dir)?.sync_all()
}
