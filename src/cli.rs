//! The command line.

use clap::{CommandFactory, Parser, Subcommand};

use crate::service_name::ServiceName;
use crate::shop::{ServeArgs, ShopArgs};
use crate::{
    backup, bundle, check, compact, doctor, events, generate, keys, mail, products, rollback,
    salvage, settings, status, up, upgrade, user,
};

/// A whole e-commerce backend for one small host.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a new shop in an absent or empty data folder.
    Init {
        #[command(flatten)]
        shop: ShopArgs,
    },
    /// Run the shop: all services in one process. Makes a new shop in an absent or empty
    /// data folder.
    Up {
        #[command(flatten)]
        serve: ServeArgs,
        /// Fill a new shop with a small catalogue and a customer, to try it out.
        #[arg(long)]
        demo: bool,
    },
    /// Run one service of a shop; the others run in processes of their own.
    Run {
        /// The service to run.
        service: ServiceName,
        #[command(flatten)]
        serve: ServeArgs,
    },
    /// Manage accounts, on the host of the shop.
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
    Status(status::PrintStatus),
    Doctor(doctor::Doctor),
    Check(check::Check),
    /// Show and check the settings.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Look at the mails that the shop sends.
    Mail {
        #[command(subcommand)]
        command: MailCommand,
    },
    /// Look at the events that services record.
    Events {
        #[command(subcommand)]
        command: EventsCommand,
    },
    SupportBundle(bundle::SupportBundle),
    Backup(backup::Backup),
    Restore(backup::Restore),
    /// List backups, and remove old ones.
    Backups {
        #[command(subcommand)]
        command: BackupsCommand,
    },
    Upgrade(upgrade::Upgrade),
    AcceptRollback(rollback::AcceptRollback),
    Salvage(salvage::Salvage),
    Compact(compact::Compact),
    #[command(hide = true)]
    Generate(generate::Generate),
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    Print(settings::PrintConfig),
    Check(settings::CheckConfig),
}

#[derive(Debug, Subcommand)]
enum EventsCommand {
    Tail(events::TailEvents),
}

#[derive(Debug, Subcommand)]
enum MailCommand {
    Preview(mail::PreviewMail),
}

#[derive(Debug, Subcommand)]
enum ProductsCommand {
    Import(products::Import),
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Create an account, or change the role and password of an existing one.
    Add(user::Add),
    /// Set the password of an account; this ends its sessions.
    Passwd(user::Passwd),
    /// List accounts, newest first.
    List(user::ListUsers),
    /// Set the role of an account.
    Roles(user::Roles),
    /// Remove the second factor of an account whose owner has lost it; this ends its sessions.
    FactorReset(user::FactorReset),
}

#[derive(Debug, Subcommand)]
enum BackupsCommand {
    List(backup::ListBackups),
    Prune(backup::Prune),
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// List the keys whose tokens are accepted, newest first.
    List(keys::ListKeys),
    /// Sign with a new key; old keys stay valid until their last token has expired.
    Rotate(keys::Rotate),
}

impl Cli {
    /// Whether the command is long work beside a shop that serves.
    pub(crate) fn is_background(&self) -> bool {
        matches!(self.command, Command::Backup(_))
    }

    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Init { shop } => up::init(&shop),
            Command::Up { serve, demo } => up::up(&serve, demo).await,
            Command::Run { service, serve } => up::run(service, &serve).await,
            Command::User { command } => match command {
                UserCommand::Add(add) => user::add(add).await,
                UserCommand::Passwd(passwd) => user::passwd(passwd).await,
                UserCommand::List(list) => user::list(list).await,
                UserCommand::Roles(roles) => user::roles(roles).await,
                UserCommand::FactorReset(reset) => user::reset_factor(reset).await,
            },
            Command::Keys { command } => match command {
                KeysCommand::List(list) => keys::list(list).await,
                KeysCommand::Rotate(rotate) => keys::rotate(rotate).await,
            },
            Command::Products { command: ProductsCommand::Import(import) } => {
                products::import(import).await
            }
            Command::Status(print) => status::print(print).await,
            Command::Doctor(doctor) => doctor::doctor(doctor).await,
            Command::Config { command } => match command {
                ConfigCommand::Print(print) => settings::print(&print),
                ConfigCommand::Check(check) => settings::check(&check),
            },
            Command::Mail { command: MailCommand::Preview(preview) } => mail::preview(preview),
            Command::Events { command: EventsCommand::Tail(tail) } => events::tail(tail).await,
            Command::Check(check) => check::check(check).await,
            Command::SupportBundle(bundle) => bundle::write(bundle).await,
            Command::Backup(backup) => backup::backup(backup).await,
            Command::Restore(restore) => backup::restore(restore).await,
            Command::Backups { command } => match command {
                BackupsCommand::List(list) => backup::list(&list),
                BackupsCommand::Prune(prune) => backup::prune(&prune),
            },
            Command::Upgrade(upgrade) => upgrade::upgrade(upgrade).await,
            Command::AcceptRollback(accept) => rollback::accept(accept).await,
            Command::Salvage(salvage) => salvage::salvage(salvage).await,
            Command::Compact(compact) => compact::compact(compact).await,
            Command::Generate(to) => generate::generate(&to, Self::command()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The variable of an argument that the settings do not know of would be refused as one of
    /// a misspelt setting.
    #[test]
    fn the_variable_of_every_argument_is_known() {
        fn collect(command: &clap::Command, into: &mut Vec<String>) {
            let variables = command.get_arguments().filter_map(clap::Arg::get_env);
            into.extend(variables.map(|name| name.to_string_lossy().into_owned()));
            command.get_subcommands().for_each(|one| collect(one, into));
        }
        let (known, mut variables) = (crate::shop::argument_variables(), Vec::new());
        collect(&Cli::command(), &mut variables);
        assert!(variables.len() > 4, "{variables:?}");
        variables.retain(|name| !known.contains(name));
        assert!(variables.is_empty(), "{variables:?}");
    }
}
