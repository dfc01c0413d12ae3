//! `konbini user`: accounts from the machine the shop runs on.
//!
//! **Invariant:** a password comes from standard input or from a terminal that
//! does not show it, never from an argument, which others on the machine could
//! read.

use std::io::{BufRead, IsTerminal};

use anyhow::{Context, bail};
use chassis::Folder;
use clap::{Args, ValueEnum};
use data_encoding::BASE32_NOPAD;
use hyper::{Method, StatusCode};
use owo_colors::OwoColorize;
use serde_json::{Value, json};

use crate::control::{self, Answer};
use crate::shop::{ShopArgs, UsageError};
use crate::table::{Column, OutputFormat, OutputTable, print_json};

/// Where users takes orders about accounts.
const USERS: &str = "/control/users";

/// Arguments of `user add`.
#[derive(Debug, Args)]
pub(crate) struct Add {
    #[command(flatten)]
    shop: ShopArgs,
    /// The account's e-mail address.
    #[arg(long)]
    email: String,
    /// The person's name; of a new account, the part of the address before the @
    /// if not given.
    #[arg(long)]
    name: Option<String>,
    /// What the account may do; a new one may buy, an existing one stays as it is,
    /// if not given.
    #[arg(long, value_enum)]
    role: Option<Role>,
    /// Read the password from the first line of standard input; otherwise one is
    /// made and shown, for an account that is new.
    #[arg(long)]
    password_stdin: bool,
    /// Answer with a JSON document.
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
    /// Read the password from the first line of standard input instead of asking
    /// for it.
    #[arg(long)]
    password_stdin: bool,
    /// Answer with a JSON document.
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
    /// What the account may do from now on.
    #[arg(long, value_enum)]
    role: Role,
    /// Answer with a JSON document.
    #[arg(long)]
    json: bool,
}

/// Arguments of `user list`.
#[derive(Debug, Args)]
pub(crate) struct ListUsers {
    #[command(flatten)]
    shop: ShopArgs,
    /// Only the account with this e-mail address.
    #[arg(long)]
    email: Option<String>,
    /// Answer with a JSON document a line, an account each.
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
    /// Everyone may buy.
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Customer => &["customer"],
            Self::Staff => &["customer", "staff"],
            Self::Admin => &["customer", "admin"],
        }
    }
}

/// Makes or changes the account and says so.
pub(crate) async fn add(add: Add) -> anyhow::Result<()> {
    let given = if add.password_stdin { Some(first_line()?) } else { None };
    let asked = async |folder: &Folder| add.ask(folder, given.clone()).await;
    let Outcome { created, user, password } = control::with_users(&add.shop, asked).await?;
    if add.json {
        return print_json(&json!({ "created": created, "user": user, "password": password }));
    }
    say(if created { "made" } else { "changed" }, &user);
    if let Some(password) = password {
        anstream::println!("password {}", password.bold());
    }
    Ok(())
}

/// What became of an account.
struct Outcome {
    created: bool,
    user: Value,
    /// The password that was made for it.
    password: Option<String>,
}

impl Add {
    /// Asks users. Only a new account needs a password; if it turns out to be new
    /// and none was given, one is made.
    async fn ask(&self, folder: &Folder, given: Option<String>) -> anyhow::Result<Outcome> {
        let answer = self.send(folder, given.as_ref()).await?;
        let (answer, password) = if given.is_none() && lacks_password(&answer) {
            let made = generate();
            (self.send(folder, Some(&made)).await?, Some(made))
        } else {
            (answer, None)
        };
        let answer = answer.accepted()?;
        let created = answer.status == StatusCode::CREATED;
        Ok(Outcome { created, user: answer.body, password })
    }

    async fn send(&self, folder: &Folder, password: Option<&String>) -> anyhow::Result<Answer> {
        let account = json!({
            "email": self.email,
            "name": self.name,
            "password": password,
            "roles": self.role.map(Role::names),
        });
        control::ask_users(folder, Method::POST, USERS, Some(account)).await
    }
}

fn lacks_password(answer: &Answer) -> bool {
    let errors = answer.body["errors"].as_array();
    errors.is_some_and(|errors| errors.iter().any(|error| error["pointer"] == "/password"))
}

/// Gives an account another password. Its logins end.
pub(crate) async fn passwd(passwd: Passwd) -> anyhow::Result<()> {
    passwd.shop.require()?;
    let password = if passwd.password_stdin {
        first_line()?
    } else {
        prompted()?
    };
    let change = json!({ "email": passwd.email, "password": password });
    let user = change_account(&passwd.shop, &change).await?;
    tell(passwd.json, &user)
}

/// Gives an account other roles.
pub(crate) async fn roles(roles: Roles) -> anyhow::Result<()> {
    roles.shop.require()?;
    let change = json!({ "email": roles.email, "roles": roles.role.names() });
    let user = change_account(&roles.shop, &change).await?;
    tell(roles.json, &user)
}

async fn change_account(shop: &ShopArgs, change: &Value) -> anyhow::Result<Value> {
    let asked = async |folder: &Folder| {
        let answer = control::ask_users(folder, Method::PATCH, USERS, Some(change.clone()));
        let answer = answer.await?;
        if answer.status == StatusCode::NOT_FOUND {
            bail!("{}: there is no such account", text(&change["email"]));
        }
        Ok(answer.accepted()?.body)
    };
    control::with_users(shop, asked).await
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
    list.shop.require()?;
    let asked = async |folder: &Folder| list.print(folder).await;
    control::with_users(&list.shop, asked).await
}

impl ListUsers {
    /// Prints page after page.
    async fn print(&self, folder: &Folder) -> anyhow::Result<()> {
        let mut query = format!("{USERS}?limit=100");
        if let Some(email) = &self.email {
            query.push_str(&format!("&email={}", percent(email)));
        }
        let mut cursor = String::new();
        let mut table = OutputTable::new(COLUMNS, OutputFormat::by_flag(self.json));
        loop {
            let page = format!("{query}{cursor}");
            let answer = control::ask_users(folder, Method::GET, &page, None).await?;
            let body = answer.accepted()?.body;
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

/// A value as it may stand in a query (RFC 3986 §2.1), every byte encoded.
fn percent(value: &str) -> String {
    value.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn tell(as_json: bool, user: &Value) -> anyhow::Result<()> {
    if as_json {
        return print_json(user);
    }
    say("changed", user);
    Ok(())
}

fn say(done: &str, user: &Value) {
    anstream::println!(
        "{done} {} {}",
        text(&user["id"]).bold(),
        text(&user["email"])
    );
}

/// A password typed twice at a terminal that does not show it.
fn prompted() -> anyhow::Result<String> {
    if !std::io::stdin().is_terminal() {
        let how = "there is no terminal to ask for the password; give it with --password-stdin";
        return Err(UsageError(how).into());
    }
    let password = rpassword::prompt_password("New password: ").context("the terminal")?;
    let again = rpassword::prompt_password("Once more: ").context("the terminal")?;
    if password != again {
        bail!("the two are not the same; nothing was changed");
    }
    Ok(password)
}

fn first_line() -> anyhow::Result<String> {
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .context("standard input")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// 100 bits, in letters and digits that are told apart.
fn generate() -> String {
    BASE32_NOPAD.encode(&rand::random::<[u8; 15]>())[..20].to_lowercase()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}
