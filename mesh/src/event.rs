//! The envelope of an event: its encoding, its position and its hash.
//!
//! **Invariant:** the recorded bytes are never re-encoded. The hash is over exactly the
//! logged bytes, so source and followers agree on the history without the same serializer.

use blake2::digest::consts::U16;
use blake2::{Blake2b, Digest};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use model::{Fact, Time};

/// A running hash over a log, BLAKE2b-128 (RFC 7693) of the previous hash and the
/// event's bytes; all zero before the first event.
pub type Hash = [u8; 16];

/// A position in one particular history: a sequence number and the running hash up to it.
/// Two logs with the same mark are equal up to there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Mark {
    /// The last event's sequence number; 0 before the first.
    pub seq: u64,
    /// The running hash, all zero before the first.
    pub hash: Hash,
}

impl store::Record for Mark {}

/// An event: a fact with its source, position and time.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The service that logged it.
    pub source: String,
    /// The epoch of that log: its creation time in milliseconds since 1970.
    pub epoch: u64,
    /// Its position in the log, without gaps from 1.
    pub seq: u64,
    /// The ordering key: events of one key are applied in order.
    pub key: String,
    /// The name of its kind, also of one unknown to this version.
    pub kind: String,
    /// The time of the event.
    pub at: Time,
    /// The trace id of the request that caused it.
    pub trace: Option<String>,
    /// The user who caused it.
    pub by: Option<String>,
    /// The API key by which they did.
    pub via: Option<String>,
    /// The fact; `None` for a kind unknown to this version.
    pub fact: Option<Fact>,
}

/// The envelope's encoding: MessagePack with field names.
#[derive(Serialize, Deserialize)]
struct Body<S, F> {
    source: S,
    epoch: u64,
    seq: u64,
    key: S,
    kind: S,
    at: Time,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trace: Option<S>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<S>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    via: Option<S>,
    data: F,
}

impl Event {
    /// `source/epoch/seq`, unique for all time.
    pub fn id(&self) -> String {
        format!("{}/{}/{}", self.source, self.epoch, self.seq)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let body = Body {
            source: self.source.as_str(),
            epoch: self.epoch,
            seq: self.seq,
            key: self.key.as_str(),
            kind: self.kind.as_str(),
            at: self.at,
            trace: self.trace.as_deref(),
            by: self.by.as_deref(),
            via: self.via.as_deref(),
            data: &self.fact,
        };
        rmp_serde::to_vec_named(&body).expect("plain structs of strings and numbers encode")
    }

    /// Decodes recorded bytes. A kind unknown to this version is not an error.
    ///
    /// # Errors
    /// When the bytes are not an envelope, or the fact of a known kind cannot be decoded.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let known = rmp_serde::from_slice::<Body<String, Fact>>(bytes);
        let (body, fact) = match known {
            Ok(body) => {
                let Body { source, epoch, seq, key, kind, at, trace, by, via, data } = body;
                let envelope = Body {
                    source,
                    epoch,
                    seq,
                    key,
                    kind,
                    at,
                    trace,
                    by,
                    via,
                    data: IgnoredAny,
                };
                (envelope, Some(data))
            }
            Err(error) => {
                let body: Body<String, IgnoredAny> =
                    rmp_serde::from_slice(bytes).map_err(|_| error.to_string())?;
                if Fact::knows(&body.kind) {
                    return Err(format!("{}: {error}", body.kind));
                }
                (body, None)
            }
        };
        let Body { source, epoch, seq, key, kind, at, trace, by, via, data: _ } = body;
        Ok(Self { source, epoch, seq, key, kind, at, trace, by, via, fact })
    }

    /// The epoch of recorded bytes; `None` for bytes that are not an envelope.
    pub(crate) fn epoch_of(bytes: &[u8]) -> Option<u64> {
        #[derive(Deserialize)]
        struct OfEpoch {
            epoch: u64,
        }
        rmp_serde::from_slice(bytes)
            .ok()
            .map(|OfEpoch { epoch }| epoch)
    }

    /// The time of recorded bytes; `None` for bytes that are not an envelope.
    pub(crate) fn at_of(bytes: &[u8]) -> Option<Time> {
        #[derive(Deserialize)]
        struct OfTime {
            at: Time,
        }
        rmp_serde::from_slice(bytes).ok().map(|OfTime { at }| at)
    }

    /// The ordering key of recorded bytes, also when their fact cannot be decoded; empty for
    /// bytes that are not an envelope.
    pub(crate) fn key_of(bytes: &[u8]) -> String {
        #[derive(Deserialize)]
        struct Keyed {
            key: String,
        }
        rmp_serde::from_slice(bytes).map_or_else(|_| String::new(), |Keyed { key }| key)
    }
}

/// A recorded event: its bytes, and the running hash up to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// Its position in the log.
    pub seq: u64,
    /// The envelope's bytes.
    #[serde(with = "serde_bytes")]
    pub body: Vec<u8>,
    /// The log's running hash, this event included.
    pub hash: Hash,
}

impl store::Record for Recorded {}

impl Recorded {
    /// The mark of a log that ends with this event.
    pub fn mark(&self) -> Mark {
        Mark { seq: self.seq, hash: self.hash }
    }

    /// Whether this is the event right after `mark`, in that same history.
    pub fn continues(&self, mark: &Mark) -> bool {
        self.seq == mark.seq + 1 && self.hash == chain(&mark.hash, &self.body)
    }
}

/// The running hash after one more event.
pub(crate) fn chain(before: &Hash, body: &[u8]) -> Hash {
    Blake2b::<U16>::new()
        .chain_update(before)
        .chain_update(body)
        .finalize()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed() -> Event {
        let fact = Fact::OrderConfirmed {
            order_id: "order_01h455vb4pex5vsknk084sn02q".parse().unwrap(),
            user_id: "user_01h455vb4pex5vsknk084sn02q".parse().ok(),
        };
        Event {
            source: "orders".into(),
            epoch: 7,
            seq: 1,
            key: "k".into(),
            kind: fact.kind().into(),
            at: Time(1),
            trace: None,
            by: None,
            via: None,
            fact: Some(fact),
        }
    }

    /// The bytes that other versions and other hosts have to read.
    #[test]
    fn golden_bytes() {
        let uuid = b"\xc4\x10\x01\x89\x0a\x5d\xac\x96\x77\x4b\xbc\xce\xb3\x02\x09\x9a\x80\x57";
        let bytes = placed().encode();
        let mut golden =
            b"\x87\xa6source\xa6orders\xa5epoch\x07\xa3seq\x01\xa3key\xa1k\xa4kind\xaf".to_vec();
        golden.extend_from_slice(
            b"order.confirmed\xa2at\x01\xa4data\x81\xaforder.confirmed\x82\xa8order_id",
        );
        golden.extend_from_slice(uuid);
        golden.extend_from_slice(b"\xa7user_id");
        golden.extend_from_slice(uuid);
        assert_eq!(bytes, golden);
        assert_eq!(Event::decode(&bytes).unwrap(), placed());
    }

    #[test]
    fn unknown_kinds_are_decoded_without_a_fact_and_malformed_ones_refused() {
        #[derive(Serialize)]
        struct Data<'a> {
            #[serde(rename = "order.gift_wrapped")]
            gift: &'a str,
        }
        let body = |kind| Body {
            source: "orders",
            epoch: 7,
            seq: 1,
            key: "k",
            kind,
            at: Time(1),
            trace: None,
            by: None,
            via: None,
            data: Data { gift: "ribbon" },
        };
        let unknown = rmp_serde::to_vec_named(&body("order.gift_wrapped")).unwrap();
        let event = Event::decode(&unknown).unwrap();
        assert_eq!(
            (event.kind.as_str(), event.fact),
            ("order.gift_wrapped", None)
        );
        let malformed = rmp_serde::to_vec_named(&body("order.placed")).unwrap();
        assert!(Event::decode(&malformed).is_err());
    }
}
