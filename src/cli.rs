//! The command line.

use std::net::SocketAddr;

use clap::{Parser, Subcommand};

use crate::service_name::ServiceName;
use crate::shop::ShopArgs;
use crate::{check, keys, products, up, user};

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
        shop: ShopArgs,
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
        shop: ShopArgs,
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
    List(user::ListUsers),
    /// Give an account another role.
    Roles(user::Roles),
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// List the keys whose tokens are believed, newest first.
    List(keys::ListKeys),
    /// Let a new key sign; the old ones count until their last token has expired.
    Rotate(keys::Rotate),
}

impl Cli {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Up { shop, listen, demo } => up::up(&shop, listen, demo).await,
            Command::Run { service, shop, listen } => up::run(service, &shop, listen).await,
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
