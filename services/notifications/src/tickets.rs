//! Tickets for streams: a browser's `EventSource` cannot send a token, so a page exchanges its
//! token for a ticket and opens the stream with that in the query.
//!
//! A query may be logged on its way, so a ticket is worth little: it opens one stream, once,
//! within a minute. The stream is as one that was opened with the token itself.
//!
//! **Invariant:** tickets are kept in memory only, a bounded number of them; a restart ends them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use model::{Time, UserId};
use parking_lot::Mutex;

use crate::error::Error;

/// For how long a ticket can be redeemed.
pub(crate) const TICKET_LIFE: Duration = Duration::from_secs(60);

/// Most tickets of an account that wait to be redeemed: one for each stream it may have.
const TICKETS_PER_USER_MAX: usize = 16;

/// Most tickets in all; each has a token of some 500 bytes.
const TICKETS_MAX: usize = 4096;

/// Prefix by which scanners recognise a leaked ticket.
const PREFIX: &str = "ticket_";

/// The tickets that wait to be redeemed. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct StreamTickets(Arc<Mutex<HashMap<String, StreamTicket>>>);

struct StreamTicket {
    user_id: UserId,
    token: Box<str>,
    until: Time,
}

impl StreamTickets {
    /// A ticket for the streams of `user_id`, whose access token is `token`.
    ///
    /// # Errors
    /// When the account or the service has too many.
    pub(crate) fn issue(&self, user_id: UserId, token: &str, now: Time) -> Result<String, Error> {
        let mut tickets = self.0.lock();
        tickets.retain(|_, ticket| now < ticket.until);
        let own = tickets.values().filter(|ticket| ticket.user_id == user_id);
        if own.count() >= TICKETS_PER_USER_MAX {
            return Err(Error::TicketsOfAccount(TICKETS_PER_USER_MAX));
        }
        if tickets.len() >= TICKETS_MAX {
            return Err(Error::AllStreams);
        }
        let random: [u8; 24] = rand::random();
        let ticket = format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&random));
        let until = now.after(TICKET_LIFE);
        let kept = StreamTicket { user_id, token: token.into(), until };
        tickets.insert(ticket.clone(), kept);
        Ok(ticket)
    }

    /// The token of a ticket, which is used up by this.
    ///
    /// # Errors
    /// When the ticket is unknown, used up or too old.
    pub(crate) fn redeem(&self, ticket: &str, now: Time) -> Result<Box<str>, Error> {
        let known = self.0.lock().remove(ticket);
        let valid = known.filter(|ticket| now < ticket.until);
        valid.map(|ticket| ticket.token).ok_or(Error::WrongTicket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_redeemed_once_and_in_time() {
        let (tickets, user) = (StreamTickets::default(), UserId::new());
        let (start, late) = (Time(1_000), Time(1_000).after(TICKET_LIFE));
        let last = Time(late.0 - 1);
        let [one, other] = [start, start].map(|now| tickets.issue(user, "token", now).unwrap());
        assert_ne!(one, other);
        assert_eq!(&*tickets.redeem(&one, last).unwrap(), "token");
        assert!(tickets.redeem(&one, last).is_err());
        assert!(tickets.redeem(&other, late).is_err());
        assert!(tickets.redeem("", start).is_err());
    }

    #[test]
    fn tickets_are_bounded_until_they_expire() {
        let (tickets, user, now) = (StreamTickets::default(), UserId::new(), Time(1_000));
        for _ in 0..TICKETS_PER_USER_MAX {
            tickets.issue(user, "token", now).unwrap();
        }
        let refused = tickets.issue(user, "token", now);
        assert!(matches!(refused, Err(Error::TicketsOfAccount(_))));
        for _ in TICKETS_PER_USER_MAX..TICKETS_MAX {
            tickets.issue(UserId::new(), "token", now).unwrap();
        }
        let refused = tickets.issue(UserId::new(), "token", now);
        assert!(matches!(refused, Err(Error::AllStreams)));
        tickets
            .issue(user, "token", now.after(TICKET_LIFE))
            .unwrap();
        assert_eq!(tickets.0.lock().len(), 1);
    }
}
