//! The data folder: a marker that says whose it is, and a data_dir for each service.
//!
//! ```text
//! DATA/SHOP                 the marker: format, shop, root key (public)
//! DATA/konbini.toml         settings, if the owner wrote any
//! DATA/templates/           the owner's own wording, if they wrote any
//! DATA/keys/KID.secret      private keys, mode 0600
//! DATA/mesh/SERVICE.sock    the mesh's sockets, folder mode 0700
//! DATA/SERVICE/             store, and what else a service keeps
//! DATA/SERVICE/NAME.secret  random bytes only that service knows, mode 0600
//! ```
//!
//! **Invariant:** a folder with content but without our marker is never written
//! to. The marker appears whole or not at all, and of several processes that
//! start at once on an empty folder exactly one makes it.

mod secrets;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::token::KeyPair;
use crate::{Config, Error};

const MARKER: &str = "SHOP";
const FORMAT: u32 = 1;

/// A shop's data folder.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
    marker: Marker,
    credentials: Option<PathBuf>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Marker {
    format: u32,
    shop: String,
    root_key: String,
}

impl Folder {
    /// Opens a shop's folder, making a new shop where there is nothing yet.
    ///
    /// # Errors
    /// [`Error::Folder`] when it holds something else, or cannot be written.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let failed = |why: String| Error::Folder { path: path.to_owned(), why };
        make_private(path).map_err(|error| failed(error.to_string()))?;
        let path = path
            .canonicalize()
            .map_err(|error| failed(error.to_string()))?;
        if !path.join(MARKER).exists() {
            match foreign_entry(&path).map_err(|error| failed(error.to_string()))? {
                None => make_shop(&path).map_err(|error| failed(error.to_string()))?,
                // What looks foreign may be the rooms of a shop that another
                // process made since the marker was looked for.
                Some(foreign) if !path.join(MARKER).exists() => {
                    return Err(failed(format!(
                        "it holds `{foreign}` but no shop; choose an empty folder or a shop's own with --data"
                    )));
                }
                Some(_) => {}
            }
        }
        let text =
            fs::read_to_string(path.join(MARKER)).map_err(|error| failed(error.to_string()))?;
        let marker: Marker = serde_json::from_str(&text)
            .map_err(|error| failed(format!("its file {MARKER} is damaged: {error}")))?;
        if marker.format != FORMAT {
            return Err(failed(format!(
                "it has format {} and this program reads {FORMAT}; use the konbini that wrote it",
                marker.format
            )));
        }
        Ok(Self { path, marker, credentials: secrets::credentials() })
    }

    /// The same folder with its secrets looked for in another one first, as
    /// `$CREDENTIALS_DIRECTORY` says at opening.
    #[must_use]
    pub fn with_credentials(self, folder: &Path) -> Self {
        Self { credentials: Some(folder.to_owned()), ..self }
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

    /// Where the owner's settings are.
    pub fn config_file(&self) -> PathBuf {
        self.path.join(Config::FILE)
    }

    /// Where the owner's own wording of messages is.
    pub fn templates(&self) -> PathBuf {
        self.path.join("templates")
    }

    /// A service's own data_dir, made if need be.
    ///
    /// # Errors
    /// [`Error::Folder`] when it cannot be made.
    pub fn data_dir(&self, name: &str) -> Result<PathBuf, Error> {
        let data_dir = self.path.join(name);
        make_private(&data_dir)
            .map_err(|error| Error::Folder { path: data_dir.clone(), why: error.to_string() })?;
        Ok(data_dir)
    }
}

/// Makes a folder and those above it, each durably: what is kept in a folder is
/// lost with the folder's own entry.
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

/// Something that is not a beginning of a shop.
fn foreign_entry(path: &Path) -> io::Result<Option<String>> {
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let ours = [MARKER, Config::FILE, "keys", "templates", "lost+found"]
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
    let marker = Marker {
        format: FORMAT,
        shop: model::Id::<model::kinds::Session>::new()
            .uuid()
            .simple()
            .to_string(),
        root_key: root.public_text(),
    };
    let text = serde_json::to_string_pretty(&marker).map_err(io::Error::other)?;
    let draft = path.join(format!(".shop-{}", marker.shop));
    write_new(&draft, text.as_bytes())?;
    // A link fails where a rename would overwrite another process's marker.
    let linked = fs::hard_link(&draft, path.join(MARKER));
    fs::remove_file(&draft)?;
    match linked {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // The winner may have tidied it away already.
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
