//! Every reason to refuse a token, and the life of signing keys.

use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::Role;
use crate::limits::ACCESS_TOKEN_LIFE;
use crate::token::{AUDIENCE, ISSUER, KeyPair};

/// The present time of the tests.
const NOW: Time = Time(1_795_369_454_120);

fn claims(user_id: Id<kinds::User>, roles: &[Role], now: Time) -> Claims {
    Claims {
        scopes: None,
        key: None,
        iss: ISSUER.into(),
        aud: AUDIENCE.into(),
        sub: user_id,
        sid: Id::new(),
        exp: now.after(ACCESS_TOKEN_LIFE),
        nbf: now,
        iat: now,
        jti: Id::<kinds::Session>::new().to_string(),
        roles: roles.to_vec(),
    }
}

/// A verifier without a mesh.
struct Verifier {
    trust: Trust,
    store: Store,
    folder: Folder,
    _temporary: TempDir,
}

impl Verifier {
    fn start() -> Self {
        let temporary = TempDir::new().unwrap();
        let folder = Folder::open_or_create(&temporary.path().join("shop")).unwrap();
        let room = folder.data_dir("verifier").unwrap().join("store");
        let store = Store::open(&room, &store::Options::default()).unwrap();
        let trust = Trust::open(&folder, &store).unwrap();
        Self { trust, store, folder, _temporary: temporary }
    }

    async fn apply(&self, fact: Fact) {
        let trust = self.trust.clone();
        let event = Event {
            source: "users".into(),
            epoch: 1,
            seq: 1,
            key: "keys".into(),
            kind: fact.kind().into(),
            at: NOW,
            trace: None,
            by: None,
            via: None,
            fact: Some(fact),
        };
        let heard = self.store.write(move |tx| {
            trust.apply(tx, &event).map_err(|refusal| match refusal {
                Refusal::Later(error) => error,
                Refusal::Never(why) => panic!("{why}"),
            })
        });
        heard.await.unwrap();
    }

    fn vouch(&self, pair: &KeyPair, published_at: Time, earlier_until: Time) -> KeyPublished {
        let root = self.folder.root_secret().unwrap();
        root.vouch_for(pair, Succession { published_at, earlier_until })
    }

    async fn publish(&self, pair: &KeyPair, published_at: Time, earlier_until: Time) {
        let published = self.vouch(pair, published_at, earlier_until);
        self.apply(Fact::KeyPublished(published)).await;
    }

    async fn revoke(&self, claims: &Claims, until: Time) {
        let (user_id, session_id) = (claims.sub, claims.sid);
        let fact = Fact::SessionRevoked { user_id, session_id, until, reason: None };
        self.apply(fact).await;
    }

    /// Verifies a token with an empty cache and with a filled one.
    fn refusal(&self, token: &str, now: Time) -> Option<TokenError> {
        let cold = self.trust.check(token, now).err();
        assert_eq!(self.trust.check(token, now).err(), cold, "{token}");
        let reopened = Trust::open(&self.folder, &self.store).unwrap();
        assert_eq!(reopened.check(token, now).err(), cold, "{token}: restarted");
        cold
    }
}

fn fresh() -> Claims {
    claims(Id::new(), &[Role::Customer], NOW)
}

fn later(seconds: u64) -> Time {
    NOW.after(Duration::from_secs(seconds))
}

fn refooted(token: &str, footer: &str) -> String {
    let (body, _) = token.rsplit_once('.').unwrap();
    let footer = data_encoding::BASE64URL_NOPAD.encode(footer.as_bytes());
    format!("{body}.{footer}")
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table, a line a refusal")]
async fn every_refusal() {
    use TokenError::*;
    let verifier = Verifier::start();
    let (ended, pair) = (KeyPair::generate(), KeyPair::generate());
    verifier.publish(&ended, Time(1), Time(1)).await;
    verifier.publish(&pair, NOW, NOW).await;
    let revoked = fresh();
    verifier.revoke(&revoked, revoked.exp).await;

    let ours = pair.issue(&fresh());
    let root = verifier.folder.root_secret().unwrap();
    let voucher = verifier.vouch(&pair, NOW, NOW).voucher;
    let foreign = KeyPair::generate().issue(&fresh());
    let kid = pair.kid();
    let claiming = |claims: Claims| pair.issue(&claims);
    let table = [
        ("nothing", String::new(), Malformed),
        ("garbage", "garbage".into(), Malformed),
        ("a JWT", "eyJhbGciOiJub25lIn0.e30.".into(), Malformed),
        ("v4.local", ours.replacen("public", "local", 1), Malformed),
        ("v3.public", ours.replacen("v4", "v3", 1), Malformed),
        (
            "no footer",
            ours.rsplit_once('.').unwrap().0.into(),
            Malformed,
        ),
        ("a fifth part", format!("{ours}.e30"), Malformed),
        ("padding", format!("{ours}="), Malformed),
        ("too long", format!("{ours}{}", "A".repeat(4096)), Malformed),
        ("a footer that is no JSON", refooted(&ours, &kid), Malformed),
        (
            "a footer with two kids",
            refooted(&ours, r#"{"kid":"a","kid":"b"}"#),
            Malformed,
        ),
        (
            "a footer over its bound",
            refooted(
                &ours,
                &format!(r#"{{"kid":"{kid}","a":"{}"}}"#, "a".repeat(200)),
            ),
            Malformed,
        ),
        (
            "a kid that is no text",
            refooted(&ours, r#"{"kid":["a"]}"#),
            Malformed,
        ),
        ("a foreign key", foreign.clone(), UnknownKey),
        ("the root key", root.issue(&fresh()), UnknownKey),
        ("a voucher", voucher, UnknownKey),
        ("a key that ended", ended.issue(&fresh()), EndedKey),
        (
            "a foreign key under our kid",
            refooted(&foreign, &format!(r#"{{"kid":"{kid}"}}"#)),
            Forged,
        ),
        (
            "our footer, spelled otherwise",
            refooted(&ours, &format!(r#"{{ "kid":"{kid}"}}"#)),
            Forged,
        ),
        (
            "issuer",
            claiming(Claims { iss: "other".into(), ..fresh() }),
            Foreign,
        ),
        (
            "audience",
            claiming(Claims { aud: "other".into(), ..fresh() }),
            Foreign,
        ),
        (
            "a longer life than ours",
            claiming(Claims { exp: fresh().exp.after(Duration::from_millis(1)), ..fresh() }),
            Foreign,
        ),
        (
            "not yet",
            claiming(Claims { nbf: later(31), ..fresh() }),
            Early,
        ),
        (
            "made tomorrow",
            claiming(Claims { iat: later(31), ..fresh() }),
            Early,
        ),
        ("expired", claiming(Claims { exp: NOW, ..fresh() }), Expired),
        ("revoked", claiming(revoked), Revoked),
    ];
    for (what, token, why) in table {
        assert_eq!(verifier.refusal(&token, NOW), Some(why), "{what}");
    }
    let lagging = claiming(Claims { nbf: later(30), iat: later(30), ..fresh() });
    assert_eq!(verifier.refusal(&lagging, NOW), None, "the leeway");
    assert_eq!(verifier.refusal(&ours, NOW), None);
    assert_eq!(verifier.refusal(&ours, later(899)), None);
    assert_eq!(verifier.refusal(&ours, later(900)), Some(Expired));
}

#[tokio::test]
async fn a_key_is_trusted_until_its_successor_expires_it() {
    let verifier = Verifier::start();
    let (first, second) = (KeyPair::generate(), KeyPair::generate());
    verifier.publish(&first, NOW, NOW).await;
    let first_again = verifier.vouch(&first, NOW, NOW);
    let old = first.issue(&fresh());
    assert_eq!(verifier.refusal(&old, NOW), None);

    verifier.publish(&second, later(10), later(20)).await;
    assert_eq!(verifier.refusal(&old, later(19)), None, "retiring");
    let ended = Some(TokenError::EndedKey);
    assert_eq!(
        verifier.refusal(&old, later(20)),
        ended,
        "though remembered"
    );
    let new = Claims { iat: later(20), nbf: later(20), ..fresh() };
    let new = second.issue(&new);
    assert_eq!(verifier.refusal(&new, later(20)), None);

    // A valid old publication is replayed.
    verifier
        .apply(Fact::KeyPublished(first_again.clone()))
        .await;
    assert_eq!(verifier.refusal(&old, later(20)), ended);
    assert_eq!(verifier.refusal(&new, later(20)), None, "and ends nothing");

    // A later succession deletes its row, and the key stays expired.
    let third = KeyPair::generate();
    verifier.publish(&third, later(3600), later(3600)).await;
    verifier.apply(Fact::KeyPublished(first_again)).await;
    let unknown = Some(TokenError::UnknownKey);
    assert_eq!(verifier.refusal(&old, NOW), unknown);
    assert_eq!(verifier.store.scan(KEYS.all()).unwrap().count(), 2);
}

#[tokio::test]
async fn a_revocation_outlives_every_token_of_its_session() {
    let verifier = Verifier::start();
    let pair = KeyPair::generate();
    verifier.publish(&pair, Time(1), Time(1)).await;
    let claims = fresh();
    let token = pair.issue(&claims);
    assert_eq!(verifier.refusal(&token, NOW), None);
    // A session revoked twice, the earlier time last, then many expired revocations.
    verifier.revoke(&claims, claims.exp).await;
    verifier.revoke(&claims, Time(1)).await;
    for _ in 0..20 {
        verifier.revoke(&fresh(), Time(1)).await;
    }
    let revoked = Some(TokenError::Revoked);
    assert_eq!(verifier.trust.check(&token, NOW).err(), revoked);
    let reopened = Trust::open(&verifier.folder, &verifier.store).unwrap();
    assert_eq!(reopened.check(&token, NOW).err(), revoked);
    let rows = verifier.store.scan(REVOKED.all()).unwrap().count();
    assert!(rows <= 2, "{rows} rows are kept");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Under any rotations and revocations a token is accepted exactly while its key, its
    /// time and its session are valid.
    #[test]
    fn a_token_is_accepted_exactly_while_key_time_and_session_are_valid(
        steps in prop::collection::vec((0u64..600, 0u64..1200, any::<bool>()), 1..6),
        looked_at in 0u64..1200,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let verifier = Verifier::start();
            let mut now = NOW;
            let mut model: Vec<(String, Claims, Time, bool)> = Vec::new();
            for (pause, grace, revoked) in steps {
                now = now.after(Duration::from_millis(1 + pause * 1000));
                let until = now.after(Duration::from_secs(grace));
                let pair = KeyPair::generate();
                verifier.publish(&pair, now, until).await;
                for (_, _, end, _) in &mut model {
                    *end = until.min(*end);
                }
                let claims = claims(Id::new(), &[], now);
                if revoked {
                    verifier.revoke(&claims, claims.exp).await;
                }
                model.push((pair.issue(&claims), claims, Time(i64::MAX), revoked));
            }
            let look = now.after(Duration::from_secs(looked_at));
            for (token, claims, end, revoked) in &model {
                let counts = look < *end
                    && claims.iat <= look.after(CLOCK_LEEWAY)
                    && look < claims.exp
                    && !revoked;
                let believed = verifier.trust.check(token, look).is_ok();
                assert_eq!(believed, counts, "{claims:?} until {end}, looked at {look}");
            }
        });
    }
}
