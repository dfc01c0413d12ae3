//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use chassis::Folder;
use chassis::telemetry::LogFormat;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::ShopConfig;
use crate::services::ServiceName;
use crate::{check, keys, products, run, up, user};

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
    /// Manage the keys that sign access tokens.
    Keys {
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// Manage the catalogue.
    Products {
        #[command(subcommand)]
        command: ProductsCommand,
    },
    Check(check::Check),
}

#[derive(Debug, Subcommand)]
enum ProductsCommand {
    Import(products::Import),
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Make an account, or give an existing one a role and, if asked, a password.
    Add(user::Add),
    /// Give an account another password; its logins end.
    Passwd(user::Passwd),
    /// List accounts, newest first.
    List(user::List),
    /// Give an account another role.
    Roles(user::Roles),
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// List the keys whose tokens are believed, newest first.
    List(keys::List),
    /// Let a new key sign; the old ones count until their last token has expired.
    Rotate(keys::Rotate),
}

/// The command line cannot be meant as it is, and what to write instead.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) &'static str);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Usage {}

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
    /// That there is a shop in the data folder, for commands that make none.
    pub(crate) fn require(&self) -> Result<(), chassis::Error> {
        if Folder::holds_shop(&self.data) {
            return Ok(());
        }
        let why = "there is no shop in it; choose a shop's folder with --data".into();
        Err(chassis::Error::Folder { path: self.data.clone(), why })
    }

    /// Opens the data folder and reads its settings; the command line wins. Logs
    /// from `level` on unless told otherwise.
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

impl Cli {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Up { shop, listen, demo } => up::up(&shop, listen, demo).await,
            Command::Run { service, shop, listen } => run::run(service, &shop, listen).await,
            Command::User { command } => match command {
                UserCommand::Add(add) => user::add(add).await,
                UserCommand::Passwd(passwd) => user::passwd(passwd).await,
                UserCommand::List(list) => user::list(list).await,
                UserCommand::Roles(roles) => user::roles(roles).await,
            },
            Command::Keys { command } => match command {
                KeysCommand::List(list) => keys::list(list).await,
                KeysCommand::Rotate(rotate) => keys::rotate(rotate).await,
            },
            Command::Products { command: ProductsCommand::Import(import) } => {
                products::import(import).await
            }
            Command::Check(check) => check::check(check).await,
        }
    }
}
