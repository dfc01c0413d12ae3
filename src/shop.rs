//! The arguments that every command has: the data folder and the logs.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use chassis::Folder;
use chassis::telemetry::LogFormat;
use clap::{Args, ValueEnum};
use rustix::process::geteuid;

use crate::config::ShopConfig;
use crate::service_name::ServiceName;

/// The data folder of a command that names none.
const DATA: &str = "data";

/// An invalid command line, with the correction; exit code 2.
#[derive(Debug)]
pub(crate) struct UsageError(pub(crate) &'static str);

impl std::fmt::Display for UsageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for UsageError {}

/// The arguments that every command has.
#[derive(Debug, Clone, Args)]
pub(crate) struct ShopArgs {
    /// The shop's data folder [default: data]
    #[arg(long, env = "KONBINI_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// The format of log lines; `auto` is human on a terminal and JSON elsewhere.
    #[arg(long, env = "KONBINI_LOG_FORMAT", value_enum, default_value_t = Format::Auto)]
    log_format: Format,
    /// The log filter: a level, or directives such as `info,orders=debug` [default: info
    /// for services, warn for commands]
    #[arg(long, env = "KONBINI_LOG", value_name = "FILTER")]
    log: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Auto,
    Human,
    Json,
}

impl ShopArgs {
    /// The arguments for the shop in a folder, with the usual logs.
    pub(crate) fn of_folder(data: &Path) -> Self {
        Self {
            data: Some(data.to_owned()),
            log_format: Format::Auto,
            log: None,
        }
    }

    /// The data folder.
    pub(crate) fn data(&self) -> &Path {
        self.data.as_deref().unwrap_or(Path::new(DATA))
    }

    /// Whether the command line or the environment names the data folder.
    pub(crate) fn names_data(&self) -> bool {
        self.data.is_some()
    }

    /// Opens the shop's data folder and reads its settings; the command line has precedence.
    /// Logs from `level` on unless configured.
    pub(crate) fn open(
        &self,
        level: &str,
        listen: Option<SocketAddr>,
    ) -> Result<(Folder, ShopConfig), chassis::Error> {
        self.start_logging(level);
        configured(Folder::open(self.data())?, listen)
    }

    /// As [`open`](Self::open), and makes a shop if the folder is absent or empty.
    pub(crate) fn open_or_create(
        &self,
        level: &str,
        listen: Option<SocketAddr>,
    ) -> Result<(Folder, ShopConfig), chassis::Error> {
        self.start_logging(level);
        configured(Folder::open_or_create(self.data())?, listen)
    }

    /// Logs from `level` on unless configured.
    pub(crate) fn start_logging(&self, level: &str) {
        let human = match self.log_format {
            Format::Auto => std::io::stderr().is_terminal(),
            Format::Human => true,
            Format::Json => false,
        };
        let format = if human { LogFormat::Human } else { LogFormat::Json };
        chassis::telemetry::start(format, self.log.as_deref().unwrap_or(level));
    }
}

/// Refuses to open the stores of a folder that belongs to another user: files that root
/// makes in it, that user could not change.
///
/// # Errors
/// [`chassis::Error::Folder`] for root and another's folder.
pub(crate) fn check_owner(folder: &Folder) -> Result<(), chassis::Error> {
    let path = folder.path();
    let failed = |why| chassis::Error::File { path: path.to_owned(), why };
    let owner = std::fs::metadata(path).map_err(failed)?.uid();
    match owner_fault(owner, geteuid().as_raw()) {
        None => Ok(()),
        Some(why) => Err(chassis::Error::Folder { path: path.to_owned(), why }),
    }
}

fn owner_fault(owner: u32, user: u32) -> Option<String> {
    (user == 0 && owner != 0).then(|| {
        format!(
            "it belongs to the user with id {owner}, who could not change what root makes in it; \
             run this as that user (`runuser -u NAME -- konbini …`)"
        )
    })
}

fn configured(
    folder: Folder,
    listen: Option<SocketAddr>,
) -> Result<(Folder, ShopConfig), chassis::Error> {
    for service in ServiceName::ALL {
        mesh::check_socket_path(&folder.control_socket(service.name()))?;
    }
    let mut config = ShopConfig::read(&folder.config_file())?;
    if let Some(listen) = listen {
        config.gateway.listen = listen;
    }
    Ok((folder, config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_leaves_no_files_in_the_folder_of_another_user() {
        for (owner, user, is_refused) in [
            (998, 0, true),
            (0, 0, false),
            (998, 998, false),
            // What it may not open, the system refuses.
            (998, 1000, false),
        ] {
            assert_eq!(
                owner_fault(owner, user).is_some(),
                is_refused,
                "{owner} {user}"
            );
        }
    }
}
