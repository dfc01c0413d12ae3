//! Carriers: the page on the web that follows a parcel.
//!
//! Staff type a carrier's name as they say it, so names are compared by their letters and
//! digits alone: `Royal Mail`, `royal-mail` and `ROYALMAIL` are one carrier. **Invariant:** the
//! address is one of the table with the parcel's number in it, and a number has letters,
//! digits and hyphens only, so nothing that was typed leads to another page.

/// Most characters of a parcel's number in an address.
const NUMBER_CHARS_MAX: usize = 50;

/// A carrier's names, as [`folded`] makes them, and the address before a parcel's number.
const CARRIERS: &[(&[&str], &str)] = &[
    // The page of the group, which knows the parcels of all its companies.
    (
        &["dhl", "dhlexpress", "dhlecommerce", "dhlparcel"],
        "https://www.dhl.com/global-en/home/tracking.html?submit=1&tracking-id=",
    ),
    (
        &["dhlpaket", "dhlde", "deutschepost", "deutschepostdhl"],
        "https://www.dhl.de/de/privatkunden/pakete-empfangen/verfolgen.html?piececode=",
    ),
    (&["ups"], "https://www.ups.com/track?tracknum="),
    (
        &["fedex", "fedexexpress"],
        "https://www.fedex.com/fedextrack/?trknbr=",
    ),
    (
        &["dpd", "dpdde"],
        "https://tracking.dpd.de/parcelstatus?query=",
    ),
    (&["dpduk"], "https://track.dpd.co.uk/search?reference="),
    (&["dpdfrance", "dpdfr"], "https://www.dpd.fr/trace/"),
    (&["gls"], "https://gls-group.com/track/"),
    (
        &["hermes", "myhermes", "hermesde"],
        "https://www.myhermes.de/empfangen/sendungsverfolgung/sendungsinformation#",
    ),
    (&["evri", "hermesuk"], "https://www.evri.com/track/parcel/"),
    (
        &["usps"],
        "https://tools.usps.com/go/TrackConfirmAction?tLabels=",
    ),
    (
        &["royalmail"],
        "https://www.royalmail.com/track-your-item#/tracking-results/",
    ),
    (
        &["parcelforce"],
        "https://www.parcelforce.com/track-trace?trackNumber=",
    ),
    (&["postnl"], "https://postnl.nl/tracktrace/?B="),
    (
        &["bpost"],
        "https://track.bpost.cloud/btr/web/#/search?itemCode=",
    ),
    (
        &[
            "österreichischepost",
            "oesterreichischepost",
            "austrianpost",
            "postat",
        ],
        "https://www.post.at/sv/sendungsdetails?snr=",
    ),
    (
        &["swisspost", "schweizerischepost", "diepost", "postch"],
        "https://service.post.ch/ekp-web/ui/entry/search/",
    ),
    (
        &["laposte", "colissimo"],
        "https://www.laposte.fr/outils/suivre-vos-envois?code=",
    ),
    (
        &["chronopost"],
        "https://www.chronopost.fr/tracking-no-cms/suivi-page?listeNumerosLT=",
    ),
    (
        &["mondialrelay"],
        "https://www.mondialrelay.fr/suivi-de-colis/?NumColis=",
    ),
    (&["postnord"], "https://tracking.postnord.com/en/?id="),
    (&["inpost"], "https://inpost.pl/sledzenie-przesylek?number="),
    (
        &["canadapost", "postescanada"],
        "https://www.canadapost-postescanada.ca/track-reperage/en#/details/",
    ),
    (
        &["australiapost", "auspost"],
        "https://auspost.com.au/mypost/track/#/details/",
    ),
];

/// The address of the page that follows a parcel; `None` for a carrier that the table does not
/// have, and for a number with other signs than letters, digits, blanks and hyphens.
pub fn tracking_url(carrier: &str, number: &str) -> Option<String> {
    let carrier = folded(carrier);
    let known = CARRIERS
        .iter()
        .find(|(names, _)| names.contains(&carrier.as_str()));
    let (_, address) = known?;
    // Numbers are printed in groups of digits.
    let number: String = number.split_whitespace().collect();
    let is_number = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let is_valid = (1..=NUMBER_CHARS_MAX).contains(&number.len()) && number.bytes().all(is_number);
    is_valid.then(|| format!("{address}{number}"))
}

/// A name's letters and digits, in lower case.
fn folded(name: &str) -> String {
    let letters = name.chars().filter(|c| c.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_parcel_has_a_page_at_a_known_carrier() {
        for (carrier, number, page) in [
            (
                "UPS",
                "1Z 999 AA1 01 2345 6784",
                Some("https://www.ups.com/track?tracknum=1Z999AA10123456784"),
            ),
            (
                "ups",
                "1Z-9",
                Some("https://www.ups.com/track?tracknum=1Z-9"),
            ),
            (
                "Royal Mail",
                "AB1",
                Some("https://www.royalmail.com/track-your-item#/tracking-results/AB1"),
            ),
            (
                "Österreichische Post",
                "10",
                Some("https://www.post.at/sv/sendungsdetails?snr=10"),
            ),
            (
                "ÖSTERREICHISCHE POST",
                "10",
                Some("https://www.post.at/sv/sendungsdetails?snr=10"),
            ),
            ("La Poste (Colissimo)", "10", None),
            ("Our own van", "10", None),
            ("", "10", None),
            ("DHL", "", None),
            ("DHL", " ", None),
            ("DHL", "10&next=evil", None),
            ("DHL", "../../10", None),
            ("DHL", "١٢", None),
        ] {
            assert_eq!(
                tracking_url(carrier, number).as_deref(),
                page,
                "{carrier} {number}"
            );
        }
        assert_eq!(tracking_url("DHL", &"1".repeat(NUMBER_CHARS_MAX + 1)), None);
    }

    #[test]
    fn each_name_stands_once_and_folded() {
        let mut seen = HashSet::new();
        for (names, address) in CARRIERS {
            assert!(address.starts_with("https://"), "{address}");
            for name in *names {
                assert_eq!(folded(name), *name);
                assert!(seen.insert(name), "{name} stands twice");
            }
        }
    }
}
