#!/usr/bin/env bash
# Boots Debian with the package installed, and walks from the first admin to an order; kills
# each service, hangs one until the watchdog restarts it, reloads, backs up and restores,
# reboots, upgrades, changes over to one process and back, removes, installs again, and
# purges; then the same shortly with the tarball.
#
#     sudo systemd/tests/boot.sh dist/*.deb dist/*.tar.gz
#
# guest.sh says what it needs.
set -euo pipefail

package=$(realpath "${1:?the .deb}")
tarball=$(realpath "${2:?the tarball}")
# shellcheck source=systemd/tests/guest.sh
. "$(dirname "$0")/guest.sh"
services=(users products orders notifications gateway)
order=

hang() {
    local unit=$1 before
    before=$(restarts "$unit")
    # A process id of the guest's, so it is signalled there.
    guest kill -STOP "$(pid_of "$unit")"
    until_true "the watchdog restarts $unit" 60 has_restarted "$unit" "$before"
    guest journalctl --unit "$unit" --no-pager | grep 'Watchdog timeout' >/dev/null || fail "$unit ended otherwise"
    until_true "ready after $unit hung" 60 is_ready
}

order_is_there() { [[ $(http GET "/v1/orders/$order" "$token" | jq -r .status) == confirmed ]]; }

make_root
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
sell 5
order=$(place_order)
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

step "a backup by its unit, and the shop out of it"
guest systemctl is-enabled konbini-backup.timer || fail "no backup every night"
guest systemctl start konbini-backup || fail "konbini-backup"
backup=$(guest find /var/backups/konbini -mindepth 1 -maxdepth 1 -name 'konbini-*')
place_order >/dev/null
guest systemctl stop konbini.target konbini@gateway.socket
guest mkdir /root/lost
guest find /var/lib/konbini -mindepth 1 -maxdepth 1 -not -name konbini.toml -exec mv -t /root/lost {} +
as_konbini restore "$backup" || fail "restore"
guest systemctl start konbini.target
until_true "ready out of the backup" 60 is_ready
token=$(log_in mori@shop.example "a kettle and three lamps")
order_is_there || fail "the order is lost"
[[ $(http GET "/v1/products/$product" | jq .available) == true ]] || fail "there are four pieces"

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
guest systemctl is-active "${services[@]/#/konbini@}" konbini@gateway.socket | grep '^active' >/dev/null &&
    fail "both run"
until_true "ready as one process" 60 is_ready
order_is_there || fail "the order is lost"
hang konbini.service
guest systemctl reload konbini.service || fail "reload"
guest systemctl start konbini.target || fail "start konbini.target"
until_true "ready as five" 60 is_ready
guest systemctl is-active konbini.service konbini.socket | grep '^active' >/dev/null && fail "both run"

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
