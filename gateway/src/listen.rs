//! Listening sockets: inherited by socket activation, else bound to the configured
//! addresses.
//!
//! A supervisor that owns the sockets (systemd.socket(5)) lets the gateway restart without
//! a refused connection: while no process accepts, connections wait in the kernel's queue.
//!
//! **Invariant:** the gateway uses an inherited socket or does not start; it never binds
//! one beside it.

use crate::config::Config;
use std::net::SocketAddr;

use chassis::Error;
use listenfd::ListenFd;
use tokio::net::TcpListener;

/// The gateway's listening sockets.
pub(crate) struct Sockets {
    /// The socket of the shop.
    pub(crate) shop: TcpListener,
    /// The socket whose plain HTTP requests are redirected to HTTPS.
    pub(crate) redirect: Option<TcpListener>,
}

impl Sockets {
    /// Takes the first inherited socket for the shop and, where the settings have a
    /// redirect, the second for it; without inherited sockets binds the configured
    /// addresses.
    ///
    /// # Errors
    /// [`Error::Config`] when the number of inherited sockets differs, and
    /// [`Error::Bind`].
    pub(crate) async fn open(settings: &Config) -> Result<Self, Error> {
        let redirect = settings.tls.redirect_listen;
        let wanted = 1 + usize::from(redirect.is_some());
        let mut given = ListenFd::from_env();
        match given.len() {
            0 => {}
            handed if handed == wanted => {
                let shop = take(&mut given, 0)?;
                let redirect = redirect.map(|_| take(&mut given, 1)).transpose()?;
                return Ok(Self { shop, redirect });
            }
            handed => {
                return Err(Error::Config(format!(
                    "{handed} sockets were inherited and {wanted} are needed: first the shop's, then that of gateway.tls.redirect_listen if it is set"
                )));
            }
        }
        let bind = async |address: SocketAddr| chassis::run::bind(address).await;
        Ok(Self {
            shop: bind(settings.listen).await?,
            redirect: match redirect {
                Some(address) => Some(bind(address).await?),
                None => None,
            },
        })
    }
}

fn take(given: &mut ListenFd, place: usize) -> Result<TcpListener, Error> {
    let failed = |why: String| {
        Error::Config(format!(
            "the inherited socket {place} cannot be used: {why}"
        ))
    };
    let listener = given
        .take_tcp_listener(place)
        .map_err(|error| failed(error.to_string()))?
        .ok_or_else(|| failed("it is in use".into()))?;
    listener
        .set_nonblocking(true)
        .and_then(|()| TcpListener::from_std(listener))
        .map_err(|error| failed(error.to_string()))
}
