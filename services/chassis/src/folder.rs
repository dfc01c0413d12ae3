//! The data folder of a shop: its marker, its keys, and a folder for each service.
//!
//! ```text
//! DATA/SHOP                 the marker: format, shop, root key (public)
//! DATA/konbini.toml         settings, optional
//! DATA/templates/           templates of mails, optional
//! DATA/keys/KID.secret      private keys, mode 0600
//! DATA/QUIET                while it exists, no mail and no webhook is delivered
//! DATA/backup.json          how the last backup ended (see `backup_state`)
//! DATA/backups/             the backups of before upgrades
//! DATA/mesh/SERVICE.sock    the mesh's sockets, folder mode 0700
//! DATA/SERVICE/             the service's store and other files
//! DATA/SERVICE/NAME.secret  random bytes of that service, mode 0600
//! ```
//!
//! **Invariant:** a folder with other content and no marker is never written to. The marker
//! is created atomically, by one of the processes that start at once on an empty folder.

mod marker;
mod secrets;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use self::marker::{MARKER, Marker};
use crate::Error;
use crate::token::KeyPair;

pub use self::marker::FORMAT;

/// The file whose presence keeps a shop from delivering mails and webhooks.
pub const QUIET: &str = "QUIET";
/// The settings' file in the data folder.
const CONFIG_FILE: &str = "konbini.toml";

/// A shop's data folder.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
    marker: Marker,
    credentials: Option<PathBuf>,
    is_quiet: bool,
}

/// The data folder of the packages.
const PACKAGED: &str = "/var/lib/konbini";

/// What to do where there is no shop.
fn choose() -> String {
    // The folder is private: without the right to read it, it looks absent.
    let here = match Path::new(PACKAGED).join("SHOP").exists() {
        true => format!(" (one is in {PACKAGED})"),
        false => String::new(),
    };
    format!("choose the data folder of a shop with --data{here}, or make one with `konbini init`")
}

const LOST_MARKER: &str = "the data of a shop is in it, and the file SHOP is missing; restore that from a copy, or put the folders of the services into a new shop (`konbini init`)";

/// Whether the services of a shop have data here, whose marker is gone.
fn has_lost_marker(path: &Path) -> bool {
    !Folder::holds_shop(path) && path.join("users/store").exists()
}

impl Folder {
    /// Opens a shop's folder.
    ///
    /// # Errors
    /// [`Error::Folder`] when there is no shop in it, [`Error::File`] when it cannot be read.
    pub fn open(path: &Path) -> Result<Self, Error> {
        match path.try_exists() {
            Ok(true) if Self::holds_shop(path) => Self::read(path),
            Err(why) => Err(Error::File { path: path.to_owned(), why }),
            Ok(exists) => {
                let why = match exists {
                    true if has_lost_marker(path) => LOST_MARKER.to_owned(),
                    true => format!("there is no shop in it; {}", choose()),
                    false => format!("it does not exist; {}", choose()),
                };
                Err(Error::Folder { path: path.to_owned(), why })
            }
        }
    }

    /// Opens a shop's folder, or creates a shop in an empty one, and logs that.
    ///
    /// # Errors
    /// [`Error::Folder`] when it has other content, [`Error::File`] when it cannot be
    /// read or written.
    pub fn open_or_create(path: &Path) -> Result<Self, Error> {
        let failed = |why: io::Error| Error::File { path: path.to_owned(), why };
        make_private(path).map_err(failed)?;
        if !Self::holds_shop(path) {
            match foreign_entry(path).map_err(failed)? {
                None => {
                    make_shop(path).map_err(failed)?;
                    let folder = path.canonicalize().map_err(failed)?;
                    tracing::warn!("made a new shop in {}", folder.display());
                }
                // The entry may belong to a shop that another process created since
                // the marker was looked up.
                Some(foreign) if !Self::holds_shop(path) => {
                    let why = match has_lost_marker(path) {
                        true => LOST_MARKER.to_owned(),
                        false => format!(
                            "it contains `{foreign}` but no shop; choose an empty folder or a shop's own with --data"
                        ),
                    };
                    return Err(Error::Folder { path: path.to_owned(), why });
                }
                Some(_) => {}
            }
        }
        Self::read(path)
    }

    /// Makes a shop of a folder that has the data of one without its marker: with a new root
    /// key and a new name on the mesh.
    ///
    /// # Errors
    /// [`Error::File`] when it cannot be written.
    pub fn adopt(path: &Path) -> Result<Self, Error> {
        make_shop(path).map_err(|why| Error::File { path: path.to_owned(), why })?;
        Self::read(path)
    }

    /// Opens a shop's folder that has an older format; `None` if there is no shop, or if it has
    /// the present one.
    ///
    /// # Errors
    /// [`Error::Folder`] when it has a newer one, [`Error::File`] when it cannot be read.
    pub fn open_outdated(path: &Path) -> Result<Option<Self>, Error> {
        if !Self::holds_shop(path) {
            return Ok(None);
        }
        let folder = Self::read_any(path)?;
        Ok(Some(folder).filter(|folder| folder.format() < FORMAT))
    }

    /// Gives the present format to a folder whose data has it. `backup` is the backup of
    /// before, which an older program names.
    ///
    /// # Errors
    /// [`Error::File`] when the marker cannot be written.
    pub fn upgrade(self, backup: Option<&Path>) -> Result<(), Error> {
        let upgraded = self.marker.upgrade(&self.path, backup);
        upgraded.map_err(|why| Error::File { path: self.path.join(MARKER), why })
    }

    /// The format of the data.
    pub fn format(&self) -> u32 {
        self.marker.format
    }

    fn read(path: &Path) -> Result<Self, Error> {
        let folder = Self::read_any(path)?;
        folder.marker.require_format(&folder.path)?;
        Ok(folder)
    }

    /// Reads a folder of the present or an older format.
    fn read_any(path: &Path) -> Result<Self, Error> {
        let failed = |why: io::Error| Error::File { path: path.to_owned(), why };
        let path = path.canonicalize().map_err(failed)?;
        let marker = Marker::read(&path)?;
        Ok(Self {
            path,
            marker,
            credentials: secrets::credentials(),
            is_quiet: false,
        })
    }

    /// Overrides the folder of credentials, by default `$CREDENTIALS_DIRECTORY`.
    #[must_use]
    pub fn with_credentials(self, folder: &Path) -> Self {
        Self { credentials: Some(folder.to_owned()), ..self }
    }

    /// Lets this process deliver no mail and no webhook.
    #[must_use]
    pub fn quiet(self) -> Self {
        Self { is_quiet: true, ..self }
    }

    /// Whether there is a shop in a folder.
    pub fn holds_shop(path: &Path) -> bool {
        path.join(MARKER).exists()
    }

    /// The folder's absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The shop's name on the mesh, unique to this folder.
    pub fn shop(&self) -> &str {
        &self.marker.shop
    }

    /// PASERK `k4.public.…` of the key that vouches for all others.
    pub fn root_key(&self) -> &str {
        &self.marker.root_key
    }

    /// The path of the settings.
    pub fn config_file(&self) -> PathBuf {
        self.path.join(CONFIG_FILE)
    }

    /// The path of a service's control socket.
    pub fn control_socket(&self, service: &str) -> PathBuf {
        self.path.join(service).join("control.sock")
    }

    /// Whether no mail and no webhook is delivered: in a copy that is only looked at, and
    /// while a command runs a service for itself.
    pub fn is_quiet(&self) -> bool {
        self.is_quiet || self.is_quiet_copy()
    }

    /// Whether the shop is a copy that is only looked at.
    pub fn is_quiet_copy(&self) -> bool {
        self.path.join(QUIET).exists()
    }

    /// The path of the templates of mails.
    pub fn templates(&self) -> PathBuf {
        self.path.join("templates")
    }

    /// The folder of a service, created if absent.
    ///
    /// # Errors
    /// [`Error::File`] when it cannot be made.
    pub fn data_dir(&self, name: &str) -> Result<PathBuf, Error> {
        let data_dir = self.path.join(name);
        match make_private(&data_dir) {
            Ok(()) => Ok(data_dir),
            Err(why) => Err(Error::File { path: data_dir, why }),
        }
    }
}

/// Creates a folder and its parents durably: a file is lost with the entry of its folder.
fn make_private(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    let above = above.unwrap_or(Path::new("."));
    make_private(above)?;
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => File::open(above)?.sync_all(),
    }
}

/// An entry that is not part of a shop.
fn foreign_entry(path: &Path) -> io::Result<Option<String>> {
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let ours = [
            MARKER,
            CONFIG_FILE,
            QUIET,
            "keys",
            "templates",
            "lost+found",
        ]
        .contains(&name.as_str())
            || name.starts_with(".shop-");
        if !ours {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

fn make_shop(path: &Path) -> io::Result<()> {
    let root = KeyPair::generate();
    let keys = path.join("keys");
    make_private(&keys)?;
    secrets::write_key(&keys, &root)?;
    let name = model::Id::<model::kinds::Session>::new();
    let marker = Marker::new(name.uuid().simple().to_string(), root.public_text());
    let draft = path.join(format!(".shop-{}", marker.shop));
    write_new(&draft, marker.text()?.as_bytes())?;
    // A rename would overwrite another process's marker; a link fails instead.
    let linked = fs::hard_link(&draft, path.join(MARKER));
    fs::remove_file(&draft)?;
    match linked {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // The process that created the shop may have deleted it already.
            let _ = fs::remove_file(keys.join(secrets::file_name(&root.kid())));
        }
        Err(error) => return Err(error),
    }
    File::open(path)?.sync_all()
}

fn write_new(file: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)?;
    file.write_all(content)?;
    file.write_all(b"\n")?;
    file.sync_all()
}
