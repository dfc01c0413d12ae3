//! The arguments that every command has: the data folder and the logs.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use chassis::Folder;
use chassis::telemetry::LogFormat;
use clap::{Arg, Args, ValueEnum};
use rustix::process::geteuid;

use crate::config::{SettingFault, SettingOrigin, SettingSources, ShopConfig};
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

/// The arguments of commands that run services, or are about their settings.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) shop: ShopArgs,
    /// The address that the gateway listens at, ADDRESS:PORT [default: `gateway.listen` of
    /// the settings].
    #[arg(long, env = "KONBINI_LISTEN", value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,
}

/// The variables that arguments can be given by, which are no settings.
pub(crate) fn argument_variables() -> Vec<String> {
    let command = ServeArgs::augment_args(clap::Command::new("konbini"));
    let variables = command.get_arguments().filter_map(Arg::get_env);
    variables
        .map(|name| name.to_string_lossy().into_owned())
        .collect()
}

impl ServeArgs {
    /// Every layer of the settings of a shop.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn sources(&self, folder: &Folder) -> Result<SettingSources, chassis::Error> {
        sources(folder, self.listen)
    }
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

    /// Opens the shop's data folder, whatever its settings are. Logs from `level` on unless
    /// configured.
    pub(crate) fn folder(&self, level: &str) -> Result<Folder, chassis::Error> {
        self.start_logging(level);
        Folder::open(self.data())
    }

    /// Opens the shop's data folder and reads its settings; the command line has precedence.
    /// Logs from `level` on unless configured.
    pub(crate) fn open(
        &self,
        level: &str,
        listen: Option<SocketAddr>,
    ) -> Result<(Folder, ShopConfig), chassis::Error> {
        configured(self.folder(level)?, listen)
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
    let read = sources(&folder, listen)?.read();
    let settings = read.map_err(|faults| refused(&folder, &faults))?;
    Ok((folder, settings.config))
}

/// The error of a command that cannot go on with the settings.
pub(crate) fn refused(folder: &Folder, faults: &[SettingFault]) -> chassis::Error {
    let file = folder.config_file();
    let faults = faults.iter().map(|fault| fault_in(&file, fault));
    chassis::Error::Config(faults.collect::<Vec<_>>().join("; "))
}

fn sources(folder: &Folder, listen: Option<SocketAddr>) -> Result<SettingSources, chassis::Error> {
    let sources = SettingSources {
        variables: std::env::vars_os().collect(),
        arguments: argument_variables(),
        listen,
        ..SettingSources::default()
    };
    let file = folder.config_file();
    sources
        .with_file(&file)
        .map_err(|error| chassis::Error::Config(format!("{}: {error}", file.display())))
}

/// A fault of the settings, with the file that its line is in.
pub(crate) fn fault_in(file: &Path, fault: &SettingFault) -> String {
    match fault.origin {
        SettingOrigin::Line(_) => format!("{}: {fault}", file.display()),
        _ => fault.to_string(),
    }
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
