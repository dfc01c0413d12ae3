//! `konbini user`: manages accounts, on the host of the shop.
//!
//! **Invariant:** a password is read from standard input or from a terminal without echo,
//! never from an argument, which other users of the host could read.

use std::io::{BufRead, IsTerminal};

use anyhow::{Context, bail};
use chassis::Folder;
use clap::{Args, ValueEnum};
use data_encoding::BASE32_NOPAD;
use hyper::{Method, StatusCode};
use owo_colors::OwoColorize;
use serde_json::{Value, json};

use crate::control::{self, ControlResponse};
use crate::output;
use crate::shop::{ShopArgs, UsageError};
use crate::table::{Column, OutputFormat, OutputTable, print_json};

/// The path of commands about accounts.
const USERS: &str = "/control/users";

/// Arguments of `user add`.
#[derive(Debug, Args)]
pub(crate) struct Add {
    #[command(flatten)]
    shop: ShopArgs,
    /// The account's e-mail address.
    #[arg(long)]
    email: String,
    /// The person's name [default for a new account: the part of the address before @].
    #[arg(long)]
    name: Option<String>,
    /// The role of the account [default: customer for a new account, else unchanged].
    #[arg(long, value_enum)]
    role: Option<Role>,
    /// Read the password from the first line of standard input; without this flag a new
    /// account gets a generated password, which is printed.
    #[arg(long)]
    password_stdin: bool,
    /// Print a JSON document.
    #[arg(long)]
    json: bool,
}

/// Arguments of `user passwd`.
#[derive(Debug, Args)]
pub(crate) struct Passwd {
    #[command(flatten)]
    shop: ShopArgs,
    /// The account's e-mail address.
    #[arg(long)]
    email: String,
    /// Read the password from the first line of standard input, without a prompt.
    #[arg(long)]
    password_stdin: bool,
    /// Print a JSON document.
    #[arg(long)]
    json: bool,
}

/// Arguments of `user roles`.
#[derive(Debug, Args)]
pub(crate) struct Roles {
    #[command(flatten)]
    shop: ShopArgs,
    /// The account's e-mail address.
    #[arg(long)]
    email: String,
    /// The new role of the account.
    #[arg(long, value_enum)]
    role: Role,
    /// Print a JSON document.
    #[arg(long)]
    json: bool,
}

/// Arguments of `user factor-reset`.
#[derive(Debug, Args)]
pub(crate) struct FactorReset {
    #[command(flatten)]
    shop: ShopArgs,
    /// The account's e-mail address.
    #[arg(long)]
    email: String,
    /// Print a JSON document.
    #[arg(long)]
    json: bool,
}

/// Arguments of `user list`.
#[derive(Debug, Args)]
pub(crate) struct ListUsers {
    #[command(flatten)]
    shop: ShopArgs,
    /// List only the account with this e-mail address.
    #[arg(long)]
    email: Option<String>,
    /// Print one JSON document per line, one per account.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Role {
    Customer,
    Staff,
    Admin,
}

impl Role {
    /// The names of its roles; every account is a customer as well.
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Customer => &["customer"],
            Self::Staff => &["customer", "staff"],
            Self::Admin => &["customer", "admin"],
        }
    }
}

/// Creates or changes the account, and prints it.
pub(crate) async fn add(add: Add) -> anyhow::Result<()> {
    let given = if add.password_stdin { Some(first_line()?) } else { None };
    if add.shop.names_data() {
        // The first admin may come before the shop has run.
        add.shop.open_or_create("warn", None)?;
    }
    let request = async |folder: &Folder| add.apply(folder, given.clone()).await;
    let AddedUser { created, user, password } = control::with_users(&add.shop, request).await?;
    if add.json {
        return print_json(&json!({ "created": created, "user": user, "password": password }));
    }
    print_line(if created { "created" } else { "changed" }, &user);
    if let Some(password) = password {
        output::line!("password {}", password.bold());
    }
    Ok(())
}

/// An account that was created or changed.
struct AddedUser {
    created: bool,
    user: Value,
    /// The generated password, if one was needed.
    password: Option<String>,
}

impl Add {
    /// Sends the command. Only a new account needs a password; if the account turns out to
    /// be new and no password was given, one is generated.
    async fn apply(&self, folder: &Folder, given: Option<String>) -> anyhow::Result<AddedUser> {
        let response = self.send(folder, given.as_ref()).await?;
        let (response, password) = if given.is_none() && lacks_password(&response) {
            let made = generate();
            (self.send(folder, Some(&made)).await?, Some(made))
        } else {
            (response, None)
        };
        let response = response.accepted()?;
        let created = response.status == StatusCode::CREATED;
        Ok(AddedUser { created, user: response.body, password })
    }

    async fn send(
        &self,
        folder: &Folder,
        password: Option<&String>,
    ) -> anyhow::Result<ControlResponse> {
        let account = json!({
            "email": self.email,
            "name": self.name,
            "password": password,
            "roles": self.role.map(Role::names),
        });
        control::ask_users(folder, Method::POST, USERS, Some(account)).await
    }
}

fn lacks_password(response: &ControlResponse) -> bool {
    let errors = response.body["errors"].as_array();
    errors.is_some_and(|errors| errors.iter().any(|error| error["pointer"] == "/password"))
}

/// Sets the password of an account, which ends its sessions.
pub(crate) async fn passwd(passwd: Passwd) -> anyhow::Result<()> {
    let password = if passwd.password_stdin {
        first_line()?
    } else {
        prompted()?
    };
    let change = json!({ "email": passwd.email, "password": password });
    let user = change_account(&passwd.shop, Method::PATCH, USERS, &change).await?;
    print_changed(passwd.json, &user)
}

/// Sets the role of an account.
pub(crate) async fn roles(roles: Roles) -> anyhow::Result<()> {
    let change = json!({ "email": roles.email, "roles": roles.role.names() });
    let user = change_account(&roles.shop, Method::PATCH, USERS, &change).await?;
    print_changed(roles.json, &user)
}

/// Removes the second factor of an account, which ends its sessions.
pub(crate) async fn reset_factor(reset: FactorReset) -> anyhow::Result<()> {
    let account = json!({ "email": reset.email });
    let path = format!("{USERS}/factor-reset");
    let user = change_account(&reset.shop, Method::POST, &path, &account).await?;
    print_changed(reset.json, &user)
}

async fn change_account(
    shop: &ShopArgs,
    method: Method,
    path: &str,
    change: &Value,
) -> anyhow::Result<Value> {
    let request = async |folder: &Folder| {
        let response = control::ask_users(folder, method.clone(), path, Some(change.clone()));
        let response = response.await?;
        if response.status == StatusCode::NOT_FOUND {
            bail!(
                "there is no account with the address {}; `konbini user list` shows all accounts",
                text(&change["email"])
            );
        }
        Ok(response.accepted()?.body)
    };
    control::with_users(shop, request).await
}

const COLUMNS: &[Column] = &[
    ("ACCOUNT", 31),
    ("STATUS", 8),
    ("ROLES", 15),
    ("SINCE", 10),
    ("E-MAIL", 32),
    ("NAME", 0),
];

/// Lists accounts, newest first.
pub(crate) async fn list(list: ListUsers) -> anyhow::Result<()> {
    let request = async |folder: &Folder| list.print(folder).await;
    control::with_users(&list.shop, request).await
}

impl ListUsers {
    /// Prints all pages.
    async fn print(&self, folder: &Folder) -> anyhow::Result<()> {
        let mut query = format!("{USERS}?limit=100");
        if let Some(email) = &self.email {
            query.push_str(&format!("&email={}", percent(email)));
        }
        let mut cursor = String::new();
        let mut table = OutputTable::new(COLUMNS, OutputFormat::by_flag(self.json));
        loop {
            let page = format!("{query}{cursor}");
            let response = control::ask_users(folder, Method::GET, &page, None).await?;
            let body = response.accepted()?.body;
            for user in body["items"].as_array().into_iter().flatten() {
                table.row(user, row)?;
            }
            match body["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={}", percent(next)),
                None => return Ok(()),
            }
        }
    }
}

fn row(user: &Value) -> Vec<String> {
    let roles = user["roles"].as_array().into_iter().flatten();
    let roles: Vec<_> = roles.map(text).collect();
    vec![
        text(&user["id"]).to_owned(),
        text(&user["status"]).to_owned(),
        roles.join(","),
        text(&user["created_at"]).chars().take(10).collect(),
        text(&user["email"]).to_owned(),
        text(&user["name"]).to_owned(),
    ]
}

/// Percent-encodes every byte of a value for a query (RFC 3986 §2.1).
fn percent(value: &str) -> String {
    value.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn print_changed(as_json: bool, user: &Value) -> anyhow::Result<()> {
    if as_json {
        return print_json(user);
    }
    print_line("changed", user);
    Ok(())
}

fn print_line(done: &str, user: &Value) {
    output::line!(
        "{done} {} {}",
        text(&user["id"]).bold(),
        text(&user["email"])
    );
}

/// Reads a password twice from a terminal without echo.
fn prompted() -> anyhow::Result<String> {
    if !std::io::stdin().is_terminal() {
        let how = "standard input is not a terminal; pass the password with --password-stdin";
        return Err(UsageError(how).into());
    }
    let password =
        rpassword::prompt_password("New password: ").context("the terminal cannot be read")?;
    let again = rpassword::prompt_password("Repeat the password: ")
        .context("the terminal cannot be read")?;
    if password != again {
        bail!("the passwords differ; nothing was changed");
    }
    Ok(password)
}

fn first_line() -> anyhow::Result<String> {
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .context("standard input cannot be read")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Generates a password of 100 random bits in base 32, whose letters and digits are hard to
/// confuse.
fn generate() -> String {
    BASE32_NOPAD.encode(&rand::random::<[u8; 15]>())[..20].to_lowercase()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}
