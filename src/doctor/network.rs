//! The network: ports, the shop's name, its certificate, and the mail server.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, TcpListener, ToSocketAddrs};
use std::time::Duration;

use gateway::CertificateSummary;
use indicatif::HumanDuration;
use model::Time;

use super::{ExaminedShop, Remark};

/// The life that a certificate should have left: renewals begin at a third of it, which is 30
/// days for those of 90.
const CERTIFICATE_LEFT_MIN: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// The gateway can listen, or does.
pub(super) fn ports(examined: &ExaminedShop) -> Vec<Remark> {
    let gateway = &examined.config.gateway;
    let addresses = [Some(gateway.listen), gateway.tls.redirect_listen];
    let judged = addresses.into_iter().flatten().map(|address| {
        let bound = TcpListener::bind(address).map(drop);
        judge_port(
            address,
            bound.map_err(|error| error.kind()),
            examined.is_running,
        )
    });
    judged.collect()
}

fn judge_port(address: SocketAddr, bound: Result<(), ErrorKind>, is_running: bool) -> Remark {
    match bound {
        Ok(()) if is_running => Remark::warning(
            format!("nothing listens at {address}, and the shop runs"),
            "if a unit's socket listens elsewhere this is well; else look at the gateway's log",
        ),
        Ok(()) => Remark::ok(format!("{address} is free")),
        Err(ErrorKind::AddrInUse) if is_running => {
            Remark::ok(format!("{address} is in use, and the shop runs"))
        }
        Err(ErrorKind::AddrInUse) => Remark::problem(
            format!("another program uses {address}"),
            "stop it (`ss -ltnp` shows it), or choose another address: gateway.listen",
        ),
        Err(ErrorKind::PermissionDenied) if address.port() < 1024 => Remark::warning(
            format!("{address} is below 1024, which this user may not open"),
            "let systemd open it (konbini@gateway.socket), or give the program the capability CAP_NET_BIND_SERVICE",
        ),
        Err(ErrorKind::AddrNotAvailable) => Remark::problem(
            format!("this host does not have the address {}", address.ip()),
            "correct gateway.listen; 0.0.0.0 is every address",
        ),
        Err(kind) => Remark::problem(
            format!("{address}: {}", io::Error::from(kind)),
            "choose another address: gateway.listen",
        ),
    }
}

/// The shop's name leads somewhere.
pub(super) fn name(examined: &ExaminedShop) -> Vec<Remark> {
    let Some(host) = examined.config.public_host() else {
        return vec![Remark::ok("the shop has no name on the web (public_url)")];
    };
    let resolved = (host.as_str(), 443).to_socket_addrs();
    let addresses = resolved.map(|all| all.map(|one| one.ip()).collect());
    vec![judge_name(&host, addresses)]
}

fn judge_name(host: &str, addresses: io::Result<Vec<IpAddr>>) -> Remark {
    match addresses {
        Ok(addresses) if addresses.is_empty() || addresses.iter().all(IpAddr::is_loopback) => {
            Remark::warning(
                format!("{host} leads to this host itself only"),
                "customers elsewhere need a record (A, AAAA) of its public address",
            )
        }
        Ok(addresses) => {
            let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            Remark::ok(format!("{host} is {}", addresses.join(", ")))
        }
        Err(error) => Remark::problem(
            format!("{host} is not found: {error}"),
            "make a record (A, AAAA) for it, correct public_url, or look at this host's resolver",
        ),
    }
}

/// The certificate lasts, and is for the shop's name.
pub(super) fn certificate(examined: &ExaminedShop) -> Vec<Remark> {
    let gateway = &examined.config.gateway;
    match gateway::certificate(&examined.folder, gateway) {
        Ok(Some(summary)) => {
            let host = examined.config.public_host();
            judge_certificate(&summary, host.as_deref(), model::now())
        }
        Ok(None) if gateway.is_secure() => vec![Remark::warning(
            "the authority has issued none yet",
            "look at the gateway's log; port 443 of each name must lead here",
        )],
        Ok(None) => vec![Remark::ok(
            "the shop speaks plain HTTP; let a proxy speak TLS for it",
        )],
        Err(error) => vec![Remark::problem(
            error.to_string(),
            "put files there that read and match: gateway.tls.certificate, gateway.tls.key",
        )],
    }
}

fn judge_certificate(summary: &CertificateSummary, host: Option<&str>, now: Time) -> Vec<Remark> {
    let CertificateSummary { names, until } = summary;
    let listed = names.join(", ");
    let advice = "renew it; a running gateway reads new files by itself";
    let left = until.since(now);
    let mut remarks = Vec::new();
    if left.is_zero() {
        remarks.push(Remark::problem(format!("it ended at {until}"), advice));
    } else if left < CERTIFICATE_LEFT_MIN {
        let what = format!("it ends in {}, at {until}", HumanDuration(left));
        remarks.push(Remark::warning(what, advice));
    }
    if let Some(host) = host
        && !names.iter().any(|name| covers(name, host))
    {
        let what = format!("it is for {listed}, and the shop's name is {host}");
        remarks.push(Remark::problem(
            what,
            "get one for that name, or correct public_url",
        ));
    }
    if remarks.is_empty() {
        remarks.push(Remark::ok(format!("for {listed}, until {until}")));
    }
    remarks
}

/// Whether a certificate's name is for a host; `*` stands for one label (RFC 6125 §6.4.3).
fn covers(name: &str, host: &str) -> bool {
    let below = |rest: &str| {
        host.split_once('.')
            .is_some_and(|(_, above)| above.eq_ignore_ascii_case(rest))
    };
    name.eq_ignore_ascii_case(host) || name.strip_prefix("*.").is_some_and(below)
}

/// The mail server takes mail.
pub(super) fn mail(examined: &ExaminedShop) -> Vec<Remark> {
    let mail = &examined.config.mail;
    let Some(server) = &mail.server else {
        return vec![Remark::ok(
            "there is no mail server: notifications go to inboxes only",
        )];
    };
    let server = format!("{server}:{}", mail.port());
    match examined
        .runtime
        .block_on(notifications::probe_mail_server(mail))
    {
        Ok(()) => vec![Remark::ok(format!("{server} takes mail"))],
        Err(why) => vec![Remark::problem(
            format!("{server}: {why}"),
            "look at [mail], and at what may keep this host from reaching it: a firewall, a provider that blocks port 25, `IPAddressAllow=` of the unit",
        )],
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict::{Ok as Well, Problem, Warning};
    use super::*;

    #[test]
    fn bad_networks_are_noticed() {
        let port = |port, bound, is_running| {
            vec![judge_port(([127, 0, 0, 1], port).into(), bound, is_running)]
        };
        let name = |addresses: io::Result<Vec<IpAddr>>| vec![judge_name("shop.example", addresses)];
        let day = 24 * 3_600_000;
        let certificate = |names: &str, days: i64| {
            let names = names.split(' ').map(str::to_owned).collect();
            let summary = CertificateSummary { names, until: Time(days * day) };
            judge_certificate(&summary, Some("shop.example"), Time(100 * day))
        };
        let public: IpAddr = [192, 0, 2, 7].into();
        for (case, remarks, verdict) in [
            ("free", port(8080, Ok(()), false), Well),
            ("ours", port(8080, Err(ErrorKind::AddrInUse), true), Well),
            (
                "taken",
                port(8080, Err(ErrorKind::AddrInUse), false),
                Problem,
            ),
            ("elsewhere", port(8080, Ok(()), true), Warning),
            (
                "low",
                port(80, Err(ErrorKind::PermissionDenied), false),
                Warning,
            ),
            (
                "absent",
                port(8080, Err(ErrorKind::AddrNotAvailable), false),
                Problem,
            ),
            ("a name", name(Ok(vec![public])), Well),
            (
                "a name in /etc/hosts",
                name(Ok(vec![[127, 0, 1, 1].into()])),
                Warning,
            ),
            (
                "no such name",
                name(Err(ErrorKind::NotFound.into())),
                Problem,
            ),
            (
                "new",
                certificate("www.shop.example SHOP.example", 190),
                Well,
            ),
            ("two weeks", certificate("shop.example", 113), Warning),
            ("over", certificate("shop.example", 99), Problem),
            ("wildcard", certificate("*.example", 190), Well),
            (
                "another's",
                certificate("*.shop.example example", 190),
                Problem,
            ),
        ] {
            assert_eq!(remarks[0].verdict, verdict, "{case}: {remarks:?}");
            assert_eq!(remarks.len(), 1, "{case}: {remarks:?}");
        }
    }
}
