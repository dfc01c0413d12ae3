//! Where the gateway listens: at sockets it was started with, else at its
//! settings' addresses.
//!
//! A supervisor that holds the sockets itself (systemd.socket(5)) lets the gateway
//! be restarted without one connection refused: while nobody accepts, they wait in
//! the kernel's queue. **Invariant:** a socket that was handed over is used, or the
//! gateway does not start; it never listens beside it.

use crate::config::Config;
use std::net::SocketAddr;

use chassis::Error;
use listenfd::ListenFd;
use tokio::net::TcpListener;

/// The gateway's listening sockets.
pub(crate) struct Sockets {
    /// The shop's door.
    pub(crate) shop: TcpListener,
    /// Where plain HTTP is sent on from.
    pub(crate) redirect: Option<TcpListener>,
}

impl Sockets {
    /// Takes the first socket for the shop and, where the settings want one, the
    /// second for plain HTTP; without any, listens where the settings say.
    ///
    /// # Errors
    /// [`Error::Config`] when other sockets were handed over than that, and
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
                    "{handed} sockets were handed over and {wanted} are needed: the shop's, then gateway.tls.redirect_listen's if that is set"
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
            "socket {place} that was handed over cannot be used: {why}"
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
