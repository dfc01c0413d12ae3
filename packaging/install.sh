#!/bin/sh
# Installs konbini from the folder of this script; again with a newer one, it upgrades.
#
#     sudo ./install.sh                  # the binary to /usr/local/bin
#     sudo PREFIX=/opt/konbini ./install.sh
#
# It asks nothing. Where systemd runs, it makes the user konbini, a shop in /var/lib/konbini
# unless there is one, and starts konbini.target; elsewhere it installs the files alone.
# Settings and data that are there are left as they are. uninstall.sh takes it away again.
set -eu
cd "$(dirname "$0")"

prefix=${PREFIX:-/usr/local}
units=/etc/systemd/system
data=/var/lib/konbini

fail() {
    printf 'install.sh: %s\n' "$1" >&2
    exit 1
}

[ "$(id -u)" = 0 ] || fail "run this as root: sudo ./install.sh"
case $prefix in
    /*) ;;
    *) fail "PREFIX must be an absolute path" ;;
esac
if [ -e /usr/lib/systemd/system/konbini.target ]; then
    fail "the package konbini is installed; upgrade that, or remove it first: apt remove konbini"
fi

# put MODE FILE... FOLDER: into a folder that need not exist.
put() {
    mode=$1
    shift
    for last in "$@"; do :; done
    mkdir -p "$last"
    install -m "$mode" "$@"
}

put 0755 konbini "$prefix/bin"
put 0644 man1/*.1 "$prefix/share/man/man1"
put 0644 man5/*.5 "$prefix/share/man/man5"
put 0644 completions/_konbini "$prefix/share/zsh/site-functions"
put 0644 completions/konbini.fish "$prefix/share/fish/vendor_completions.d"
mkdir -p "$prefix/share/bash-completion/completions"
install -m 0644 completions/konbini.bash "$prefix/share/bash-completion/completions/konbini"
put 0644 konbini.toml README.md CHANGELOG.md LICENSE-* "$prefix/share/doc/konbini"
put 0755 uninstall.sh "$prefix/share/konbini"
for file in alerts.yml dashboard.json prometheus.yml; do
    put 0644 "systemd/monitoring/$file" "$prefix/share/konbini/monitoring"
done

if ! [ -d /run/systemd/system ]; then
    echo "konbini is installed as $prefix/bin/konbini; systemd does not run here, so start it yourself:"
    echo "  $prefix/bin/konbini up --data FOLDER"
    exit 0
fi

is_new=yes
[ -e "$units/konbini.target" ] && is_new=no
put 0644 systemd/konbini.target systemd/konbini.socket systemd/konbini@gateway.socket \
    systemd/konbini-backup.timer "$units"
put 0644 systemd/konbini@gateway.service.d/socket.conf "$units/konbini@gateway.service.d"
for unit in konbini.service konbini@.service konbini-backup.service; do
    sed "s|/usr/bin/konbini|$prefix/bin/konbini|" "systemd/$unit" >"$units/$unit"
    chmod 0644 "$units/$unit"
done
mkdir -p /etc/sysusers.d /etc/tmpfiles.d /etc/konbini
install -m 0644 systemd/konbini.sysusers /etc/sysusers.d/konbini.conf
install -m 0644 systemd/konbini.tmpfiles /etc/tmpfiles.d/konbini.conf
[ -e /etc/konbini/konbini.toml ] || install -m 0640 konbini.toml /etc/konbini/konbini.toml
systemd-sysusers konbini.conf
systemd-tmpfiles --create konbini.conf
if ! [ -e "$data/konbini.toml" ] && ! [ -L "$data/konbini.toml" ]; then
    runuser -u konbini -- ln -s /etc/konbini/konbini.toml "$data/konbini.toml"
fi
systemctl daemon-reload

if [ "$is_new" = yes ]; then
    # Later an absent shop is a disk that is not mounted.
    [ -e "$data/SHOP" ] || runuser -u konbini -- "$prefix/bin/konbini" init --data "$data"
    systemctl enable --now konbini.target konbini-backup.timer
    echo "the shop is at http://127.0.0.1:8080, its console at /_/. Make the first admin:"
    echo "  runuser -u konbini -- $prefix/bin/konbini user add --data $data --email you@example.com --role admin"
    echo "or by the link that this shows, for 30 minutes: journalctl -u konbini@users -g setup="
else
    # What runs, and nothing else: the target's five, or the one.
    systemctl try-restart konbini@users.service konbini@products.service konbini@orders.service \
        konbini@notifications.service konbini@gateway.service konbini.service
    echo "konbini is upgraded"
fi
