//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use chassis::telemetry::LogFormat;
use chassis::{Config, Folder};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::services::ServiceName;
use crate::{run, up, user};

/// A whole e-commerce backend for one small host.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Open the shop: all services in one process.
    Up {
        #[command(flatten)]
        shop: Shop,
        /// Where the shop listens, ADDRESS:PORT.
        #[arg(long, env = "KONBINI_LISTEN", value_name = "ADDRESS")]
        listen: Option<SocketAddr>,
        /// Fill an empty shop with a small catalogue and a customer to try it with.
        #[arg(long)]
        demo: bool,
    },
    /// Run one service of the shop; the others run in other processes.
    Run {
        /// Which one.
        service: ServiceName,
        #[command(flatten)]
        shop: Shop,
        /// Where the gateway listens, ADDRESS:PORT.
        #[arg(long, env = "KONBINI_LISTEN", value_name = "ADDRESS")]
        listen: Option<SocketAddr>,
    },
    /// Manage accounts from the machine the shop runs on.
    User {
        #[command(subcommand)]
        command: UserCommand,
    },
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Make an account, or give an existing one a role and, if asked, a password.
    Add(user::Add),
}

/// What every command needs to know of the shop.
#[derive(Debug, Args)]
pub(crate) struct Shop {
    /// The shop's data folder.
    #[arg(long, env = "KONBINI_DATA", value_name = "DIR", default_value = "data")]
    pub(crate) data: PathBuf,
    /// How log lines look; `auto` is human on a terminal, JSON elsewhere.
    #[arg(long, env = "KONBINI_LOG_FORMAT", value_enum, default_value_t = Format::Auto)]
    log_format: Format,
    /// What is logged: a level, or a filter such as `info,orders=debug` [default:
    /// info for services, warn for commands]
    #[arg(long, env = "KONBINI_LOG", value_name = "FILTER")]
    log: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Auto,
    Human,
    Json,
}

impl Shop {
    /// Opens the data folder and reads its settings; the command line wins. Logs
    /// from `level` on unless told otherwise.
    pub(crate) fn open(
        &self,
        level: &str,
        listen: Option<SocketAddr>,
    ) -> Result<(Folder, Config), chassis::Error> {
        use std::io::IsTerminal;
        let human = match self.log_format {
            Format::Auto => std::io::stderr().is_terminal(),
            Format::Human => true,
            Format::Json => false,
        };
        let format = if human { LogFormat::Human } else { LogFormat::Json };
        chassis::telemetry::start(format, self.log.as_deref().unwrap_or(level));
        let folder = Folder::open(&self.data)?;
        let mut config = Config::read(&folder.config_file())?;
        if let Some(listen) = listen {
            config.gateway.listen = listen;
        }
        Ok((folder, config))
    }
}

impl Cli {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Up { shop, listen, demo } => up::up(&shop, listen, demo).await,
            Command::Run { service, shop, listen } => run::run(service, &shop, listen).await,
            Command::User { command: UserCommand::Add(add) } => user::add(add).await,
        }
    }
}
