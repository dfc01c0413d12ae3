//! `konbini user add`: accounts from the machine the shop runs on.
//!
//! Beside a running shop it speaks to users through the control socket; on a data
//! folder at rest it runs users for as long as that takes. Either way the same
//! code makes the account.

use std::io::BufRead;
use std::sync::Arc;

use anyhow::Context;
use chassis::Folder;
use clap::{Args, ValueEnum};
use data_encoding::BASE32_NOPAD;
use hyper::StatusCode;
use mesh::{LocalNetwork, Mesh};
use owo_colors::OwoColorize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::cli::Shop;
use crate::control::{self, Answer};
use crate::services::{Running, ServiceName};

/// Arguments of `user add`.
#[derive(Debug, Args)]
pub(crate) struct Add {
    #[command(flatten)]
    shop: Shop,
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
    let (folder, config) = add.shop.open("warn", None)?;
    let given = if add.password_stdin { Some(first_line()?) } else { None };
    let outcome = match add.ask(&folder, given.clone()).await {
        Err(error) if is_at_rest(&error) => {
            let mesh = Mesh::new(Arc::new(LocalNetwork::reliable()), folder.shop());
            let stop = CancellationToken::new();
            let names = [ServiceName::Users];
            let mut users = Running::start(&names, &folder, config, &mesh, stop).await?;
            let outcome = add.ask(&folder, given).await;
            users.end().await?;
            outcome?
        }
        outcome => outcome?,
    };
    let Outcome { created, user, password } = outcome;
    let done = if created { "made" } else { "changed" };
    anstream::println!(
        "{done} {} {}",
        text(&user["id"]).bold(),
        text(&user["email"])
    );
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
        let socket = control::socket(folder, "users");
        control::post(
            &socket,
            "/control/users",
            "application/json",
            account.to_string(),
        )
        .await
    }
}

fn lacks_password(answer: &Answer) -> bool {
    let errors = answer.body["errors"].as_array();
    errors.is_some_and(|errors| errors.iter().any(|error| error["pointer"] == "/password"))
}

/// Nobody serves the socket: the shop is not running.
fn is_at_rest(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| {
            matches!(
                cause.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused
            )
        })
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
