//! Codes of second factors: which count, and how often.

use mesh::{Cause, Log};
use store::{Options, Store};

use super::*;

/// The beginning of a step.
const START: Time = Time(1_795_369_440_000);

fn factors(byte: u8) -> Factors {
    Factors {
        key: MacKey::of_bytes([byte; 32]),
        shop: "Mori & Söhne".into(),
    }
}

fn after(seconds: i64) -> Time {
    Time(START.0 + seconds * 1000)
}

/// The code that an app shows `seconds` after the start.
fn code(secret: &str, seconds: i64) -> String {
    let secret = BASE32_NOPAD.decode(secret.as_bytes()).unwrap();
    let at = u64::try_from(after(seconds).0 / 1000).unwrap();
    totp(secret.try_into().unwrap()).generate(at).to_string()
}

/// The vectors of RFC 6238, appendix B, in six digits.
#[test]
fn codes_are_those_of_the_rfc() {
    let totp = totp(*b"12345678901234567890");
    for (seconds, code) in [
        (59, "287082"),
        (1_111_111_109, "081804"),
        (1_234_567_890, "005924"),
        (20_000_000_000, "353130"),
    ] {
        assert_eq!(totp.generate(seconds).to_string(), code);
    }
}

#[test]
fn the_uri_names_the_shop_and_the_account() {
    let email = Email::parse("ana+shop@example.org").unwrap();
    assert_eq!(
        uri("Mori & Söhne", &email, "ABC"),
        "otpauth://totp/Mori%20%26%20S%C3%B6hne:ana%2Bshop%40example.org?secret=ABC\
         &issuer=Mori%20%26%20S%C3%B6hne&algorithm=SHA1&digits=6&period=30"
    );
}

#[test]
fn a_factor_is_bound_to_key_account_and_nonce() {
    let (ours, ana) = (factors(1), UserId::new());
    let secret = ours.secret(ana, 1);
    assert_eq!(secret, ours.secret(ana, 1));
    for different in [
        ours.secret(ana, 2),
        ours.secret(UserId::new(), 1),
        factors(2).secret(ana, 1),
    ] {
        assert_ne!(secret, different);
    }
}

#[tokio::test]
async fn a_code_counts_once_and_near_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), &Options::default()).unwrap();
    let log = Log::open(store.clone(), "users", START).await.unwrap();
    let at = move |now| AccountCause { log: log.clone(), cause: Cause::own(now) };
    let factors = factors(7);
    let ana = User::new(Email::parse("ana@x.org").unwrap(), "Ana".into(), START);
    let written = store.write(move |tx| {
        tables::register(tx, &ana, "hash".into(), &at(START))?;
        let confirm = |tx: &mut Tx<'_>, typed: &str, now| {
            let confirmed = factors.confirm(tx, &ana, typed, &at(now));
            confirmed.map(|codes| codes.is_some())
        };
        assert!(matches!(confirm(tx, "000000", START), Err(Error::NoFactor)));
        let replaced = factors.request(tx, &ana, START)?.secret;
        let secret = factors.request(tx, &ana, START)?.secret;
        assert_eq!(secret.len(), 32, "160 bits");
        assert!(!confirm(tx, &code(&replaced, 0), START)?, "another secret");
        let late = confirm(tx, &code(&secret, 3600), after(3600));
        assert!(matches!(late, Err(Error::NoFactor)), "too late");
        assert!(!factors.redeem(tx, &ana, &code(&secret, 0), START)?);
        let recovery = factors.confirm(tx, &ana, &code(&secret, 0), &at(START))?;
        let recovery = recovery.expect("the code is right");
        assert_eq!(recovery.len(), usize::from(RECOVERY_CODES));

        let ana = tx.get(tables::USERS, &ana.id)?.expect("she is registered");
        assert_eq!(ana.second_factor_since, Some(START));
        let again = factors.request(tx, &ana, START);
        assert!(matches!(again, Err(Error::FactorEnrolled)));
        let spaced = |code: String| format!("{} {}", &code[..3], &code[3..]);
        let lower = recovery[3].to_lowercase().replace('-', "");
        // What is typed, when, and whether it counts.
        for (typed, seconds, counts) in [
            (code(&secret, 0), 0, false),
            (code(&secret, 60), 0, false),
            (code(&secret, 30), 0, true),
            (code(&secret, 30), 31, false),
            (code(&secret, 60), 89, true),
            (code(&secret, 30), 61, false),
            (code(&secret, 90), 150, false),
            (code(&secret, 120), 150, true),
            (spaced(code(&secret, 150)), 150, true),
            (code(&replaced, 180), 180, false),
            (String::new(), 180, false),
            ("0".repeat(1000), 180, false),
            (recovery[0].clone(), 180, true),
            (recovery[0].clone(), 180, false),
            (lower, 180, true),
            (recovery[3].clone(), 180, false),
            (recovery[9].clone(), 1_000_000, true),
        ] {
            let now = after(seconds);
            let is_right = factors.is_right(tx, &ana, &typed, now)?;
            let redeemed = factors.redeem(tx, &ana, &typed, now)?;
            assert_eq!((is_right, redeemed), (counts, counts), "{typed} {seconds}");
        }
        // Only a factor that is not older is taken away.
        let kept = without_newer(tx, ana.clone(), after(1), after(2))?;
        assert_eq!(kept, ana);
        let without = without_newer(tx, ana.clone(), START, after(2))?;
        assert_eq!(without.second_factor_since, None);
        assert!(!factors.redeem(tx, &ana, &recovery[1], START)?);

        factors.request(tx, &without, START)?;
        tables::erase(tx, &without, &at(START))?;
        assert_eq!(
            tx.get(FACTORS, &without.id)?,
            None,
            "erased with the account"
        );
        Ok::<_, Error>(())
    });
    written.await.unwrap();
}

/// The exact bytes on disk: a change here is a change of format.
#[test]
fn golden_bytes() {
    let factor = Factor { nonce: 7, since: Time(5), last_step: 3, recovery_left: 1 };
    let golden = b"\x01\x84\xa5nonce\x07\xa5since\x05\xa9last_step\x03\xadrecovery_left\x01";
    assert_eq!(store::encode(&factor).unwrap(), golden);
    assert_eq!(store::decode::<Factor>(golden).unwrap(), factor);
}
