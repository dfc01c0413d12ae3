#!/bin/sh
# Takes away what install.sh has installed. The data, the settings and the user konbini stay;
# the last lines say how to delete them. PREFIX as for install.sh.
set -eu

prefix=${PREFIX:-/usr/local}
units=/etc/systemd/system

if [ "$(id -u)" != 0 ]; then
    echo "uninstall.sh: run this as root" >&2
    exit 1
fi

if [ -d /run/systemd/system ] && [ -e "$units/konbini.target" ]; then
    # The sockets first: a waiting client would start the gateway again.
    systemctl disable --quiet --now konbini@gateway.socket konbini.socket konbini.target \
        konbini.service konbini-backup.timer
    systemctl stop konbini@gateway.service konbini@users.service konbini@products.service \
        konbini@orders.service konbini@notifications.service
fi
rm -f "$units/konbini.target" "$units/konbini.socket" "$units/konbini.service" \
    "$units/konbini@.service" "$units/konbini@gateway.socket" \
    "$units/konbini-backup.service" "$units/konbini-backup.timer" \
    "$units/konbini@gateway.service.d/socket.conf" \
    /etc/sysusers.d/konbini.conf /etc/tmpfiles.d/konbini.conf
# An owner's drop-ins stay, and with them their folders.
rmdir "$units/konbini@gateway.service.d" 2>/dev/null || true
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
fi

rm -f "$prefix/bin/konbini" "$prefix"/share/man/man1/konbini.1 \
    "$prefix"/share/man/man1/konbini-*.1 "$prefix"/share/man/man5/konbini.toml.5 \
    "$prefix/share/zsh/site-functions/_konbini" \
    "$prefix/share/fish/vendor_completions.d/konbini.fish" \
    "$prefix/share/bash-completion/completions/konbini"
rm -rf "$prefix/share/doc/konbini" "$prefix/share/konbini"

echo "konbini is uninstalled. Kept, if they were there: the shop in /var/lib/konbini, its backups in"
echo "/var/backups/konbini, /etc/konbini, and the user konbini. To delete them for good:"
echo "rm -r /var/lib/konbini /var/backups/konbini /etc/konbini; userdel konbini"
