#!/usr/bin/env bash
# Boots Debian with the package installed, and walks from the first admin to an order; kills
# each service, hangs one until the watchdog restarts it, reloads, reboots, upgrades, changes
# over to one process and back, removes, installs again, and purges; then the same shortly
# with the tarball.
#
#     sudo systemd/tests/boot.sh dist/*.deb dist/*.tar.gz
#
# Needs systemd-container, jq and mmdebstrap. ROOT names the archive of Debian's root, which is
# made if it is absent, of the release SUITE and by packages of MIRROR. The guest has a network
# of its own, and only loopback in it.
set -euo pipefail

package=$(realpath "${1:?the .deb}")
tarball=$(realpath "${2:?the tarball}")
suite=${SUITE:-bookworm}
tar=${ROOT:-/var/tmp/konbini-boot-$suite.tar}
work=$(mktemp -d /var/tmp/konbini-boot.XXXXXX)
root=$work/root
leader=
services=(users products orders notifications gateway)

step() { printf '== %s\n' "$*"; }

fail() {
    printf 'FAILED: %s\n' "$*" >&2
    [[ -z $leader ]] || guest journalctl --no-pager --lines 40 || true
    exit 1
}

guest() { nsenter --target "$leader" --all -- "$@"; }

# until_true WHAT SECONDS COMMAND...
until_true() {
    local what=$1 end=$((SECONDS + $2))
    shift 2
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < end)) || fail "not in time: $what"
        sleep 0.2
    done
}

boot() {
    # nspawn needs a terminal; bpf is what IPAddressDeny= is enforced by. Later versions of
    # systemd boot on a host with the first generation of control groups only if told to.
    setsid script --quiet --return --flush --command "systemd-nspawn --quiet --register=no --keep-unit \
        --private-network --capability=all --system-call-filter=bpf --directory=$root --boot \
        systemd.unit=multi-user.target SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1" "$work/console" >/dev/null 2>&1 </dev/null &
    terminal=$!
    until_true "the guest has a first process" 30 find_leader
    leader=$(find_leader)
    until_true "the guest has booted" 120 guest systemctl is-active multi-user.target
}

find_leader() {
    local nspawn
    nspawn=$(pgrep --parent "$terminal" --full systemd-nspawn | head -n 1)
    pgrep --parent "${nspawn:?}" | head -n 1 | grep .
}

halt() {
    guest systemctl poweroff
    wait "$terminal" || true
    leader=
}

clean_up() {
    [[ -z $leader ]] || halt || true
    rm -rf --one-file-system "$work"
    # nspawn leaves its two control groups behind, empty.
    rmdir /sys/fs/cgroup/{systemd,unified}/{payload,supervisor} 2>/dev/null || true
}
trap clean_up EXIT

is_ready() { guest curl --silent --fail http://127.0.0.1:8080/readyz; }
as_konbini() { guest runuser -u konbini -- konbini "$@" --data /var/lib/konbini; }
restarts() { guest systemctl show --property NRestarts --value "$1"; }
has_restarted() { (($(restarts "$1") > $2)); }
pid_of() { guest systemctl show --property MainPID --value "$1"; }

# http METHOD PATH TOKEN BODY: the body of a response that must be a success.
http() {
    guest curl --silent --show-error --fail-with-body --request "$1" "http://127.0.0.1:8080$2" \
        --header 'Content-Type: application/json' ${3:+--header "Authorization: Bearer $3"} \
        --header "Idempotency-Key: $RANDOM-$RANDOM" ${4:+--data "$4"} || fail "$1 $2"
}

log_in() { http POST /v1/sessions "" "$(jq -nc '{email: $ARGS.positional[0], password: $ARGS.positional[1]}' --args "$@")" | jq -r .access_token; }

hang() {
    local unit=$1 before
    before=$(restarts "$unit")
    # A process id of the guest's, so it is signalled there.
    guest kill -STOP "$(pid_of "$unit")"
    until_true "the watchdog restarts $unit" 60 has_restarted "$unit" "$before"
    guest journalctl --unit "$unit" --no-pager | grep --quiet 'Watchdog timeout' || fail "$unit ended otherwise"
    until_true "ready after $unit hung" 60 is_ready
}

order_is_there() { [[ $(http GET "/v1/orders/$order" "$token" | jq -r .status) == confirmed ]]; }

if ! [[ -e $tar ]]; then
    step "a root of Debian"
    mmdebstrap --mode=root --variant=minbase --include=systemd,systemd-sysv,dbus,curl,procps \
        "$suite" "$tar" ${MIRROR:+"$MIRROR"}
fi
mkdir "$root"
tar --extract --file "$tar" --directory "$root" --exclude './dev/*'
cp "$package" "$root/root/konbini.deb"
mkdir "$root/root/konbini"
tar --extract --file "$tarball" --directory "$root/root/konbini" --strip-components 1
# So that the test need not wait for a minute.
mkdir -p "$root"/etc/systemd/system/konbini{,@}.service.d
printf '[Service]\nWatchdogSec=8\n' |
    tee "$root"/etc/systemd/system/konbini{,@}.service.d/test.conf >/dev/null
boot

step "install"
guest apt-get install --yes --quiet /root/konbini.deb || fail "apt-get install"
until_true "ready after the installation" 60 is_ready
printf '%s, Type=%s\n' "$(guest systemctl --version | head -n 1)" \
    "$(guest systemctl show --property Type --value konbini@users)"
guest systemctl is-enabled konbini.target konbini@gateway.socket || fail "not enabled"

step "from the first admin to an order"
admin=$(as_konbini user add --email admin@shop.example --role admin --json)
token=$(log_in admin@shop.example "$(jq -r .password <<<"$admin")")
printf 'sku,title,price,currency,status,stock\nkettle,A kettle,19.90,EUR,published,5\n' |
    guest tee /tmp/catalogue.csv >/dev/null
as_konbini products import /tmp/catalogue.csv || fail "import"
product=$(http GET /v1/products | jq -r '.items[0].id')
http POST /v1/users "" '{"email":"mori@shop.example","name":"Mori","password":"a kettle and three lamps"}' >/dev/null
token=$(log_in mori@shop.example "a kettle and three lamps")
order=$(http POST /v1/orders "$token" "{\"items\":[{\"product_id\":\"$product\",\"quantity\":1}]}" | jq -r .id)
order_is_there || fail "the order is not confirmed"

for service in "${services[@]}"; do
    step "kill $service"
    before=$(restarts "konbini@$service")
    guest systemctl kill --signal KILL "konbini@$service"
    until_true "$service is restarted" 30 has_restarted "konbini@$service" "$before"
    until_true "ready after $service was killed" 60 is_ready
done
order_is_there || fail "the order is lost"

step "hang orders, then the gateway"
hang konbini@orders
hang konbini@gateway

step "idle for more than an interval of the watchdog, and reload"
counts() { for service in "${services[@]}"; do restarts "konbini@$service"; done; }
before=$(counts)
sleep 12
guest systemctl reload "${services[@]/#/konbini@}" || fail "reload"
[[ $(counts) == "$before" ]] || fail "an idle service was restarted"
is_ready >/dev/null || fail "not ready after the reload"

step "reboot"
halt
boot
until_true "ready after the reboot" 60 is_ready
order_is_there || fail "the order is lost"

step "upgrade"
pid=$(pid_of konbini@users)
guest dpkg --install /root/konbini.deb || fail "dpkg --install"
until_true "ready after the upgrade" 60 is_ready
[[ $(pid_of konbini@users) != "$pid" ]] || fail "the upgrade restarted nothing"
guest systemctl is-active konbini.service && fail "the upgrade started the one process"

step "one process, and back"
guest systemctl start konbini.service || fail "start konbini.service"
guest systemctl is-active "${services[@]/#/konbini@}" konbini@gateway.socket | grep --quiet '^active' &&
    fail "both run"
until_true "ready as one process" 60 is_ready
order_is_there || fail "the order is lost"
hang konbini.service
guest systemctl reload konbini.service || fail "reload"
guest systemctl start konbini.target || fail "start konbini.target"
until_true "ready as five" 60 is_ready
guest systemctl is-active konbini.service konbini.socket | grep --quiet '^active' && fail "both run"

step "remove, install again, purge"
guest apt-get purge --yes --quiet konbini || fail "purge"
guest test -e /var/lib/konbini/SHOP || fail "the purge deleted the shop"
guest test -e /etc/konbini/konbini.toml && fail "the purge left the settings"
guest apt-get install --yes --quiet /root/konbini.deb || fail "install again"
until_true "ready again" 60 is_ready
order_is_there || fail "the order is lost"
guest env KONBINI_PURGE_DATA=yes apt-get purge --yes --quiet konbini || fail "purge"
guest test -e /var/lib/konbini/SHOP && fail "the shop was to be deleted"

step "the tarball: install, upgrade, uninstall"
guest /root/konbini/install.sh || fail "install.sh"
until_true "ready by install.sh" 60 is_ready
guest systemctl is-enabled konbini.target konbini@gateway.socket || fail "not enabled"
shop=$(guest cat /var/lib/konbini/SHOP)
pid=$(pid_of konbini@users)
printf '# mine\n' | guest tee --append /etc/konbini/konbini.toml >/dev/null
guest /root/konbini/install.sh || fail "install.sh a second time"
until_true "ready by install.sh a second time" 60 is_ready
[[ $(pid_of konbini@users) != "$pid" ]] || fail "the upgrade restarted nothing"
guest grep --quiet '^# mine' /etc/konbini/konbini.toml || fail "the settings were overwritten"
guest /usr/local/share/konbini/uninstall.sh || fail "uninstall.sh"
guest /root/konbini/uninstall.sh || fail "uninstall.sh a second time"
[[ $(guest cat /var/lib/konbini/SHOP) == "$shop" ]] || fail "uninstall.sh touched the shop"
left=$(guest find / -xdev -name '*konbini*' -not -path '/root/*' -not -path '/var/lib/konbini*' \
    -not -path '/etc/konbini*' -not -path '/tmp/*' -not -path '/var/*' -not -path '/etc/systemd/system/*.d*')
[[ -z $left ]] || fail "left behind: $left"

step "passed"
