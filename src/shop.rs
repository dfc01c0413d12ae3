//! The arguments that every command has: the data folder and the logs.

use std::net::SocketAddr;
use std::path::PathBuf;

use chassis::Folder;
use chassis::telemetry::LogFormat;
use clap::{Args, ValueEnum};

use crate::config::ShopConfig;

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
#[derive(Debug, Args)]
pub(crate) struct ShopArgs {
    /// The shop's data folder.
    #[arg(long, env = "KONBINI_DATA", value_name = "DIR", default_value = "data")]
    pub(crate) data: PathBuf,
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
    /// Fails unless the data folder holds a shop: for commands that do not make one.
    pub(crate) fn require(&self) -> Result<(), chassis::Error> {
        if Folder::holds_shop(&self.data) {
            return Ok(());
        }
        let why =
            "the folder contains no shop; choose the data folder of a shop with --data".into();
        Err(chassis::Error::Folder { path: self.data.clone(), why })
    }

    /// Opens the data folder and reads its settings; the command line has precedence. Logs
    /// from `level` on unless configured.
    pub(crate) fn open(
        &self,
        level: &str,
        listen: Option<SocketAddr>,
    ) -> Result<(Folder, ShopConfig), chassis::Error> {
        use std::io::IsTerminal;
        let human = match self.log_format {
            Format::Auto => std::io::stderr().is_terminal(),
            Format::Human => true,
            Format::Json => false,
        };
        let format = if human { LogFormat::Human } else { LogFormat::Json };
        chassis::telemetry::start(format, self.log.as_deref().unwrap_or(level));
        let folder = Folder::open(&self.data)?;
        let mut config = ShopConfig::read(&folder.config_file())?;
        if let Some(listen) = listen {
            config.gateway.listen = listen;
        }
        Ok((folder, config))
    }
}
