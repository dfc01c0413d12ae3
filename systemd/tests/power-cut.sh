#!/usr/bin/env bash
# Cuts the power of a Debian that runs the package, in the middle of orders and backups, again
# and again, and looks whether every acknowledged order is still there.
#
#     sudo systemd/tests/power-cut.sh dist/*.deb 20
#
# guest.sh says what it needs; besides it needs nbdkit, libnbd-bin (nbdfuse) and e2fsprogs. The
# data folder and the backups lie on a disk whose cache is nbdkit's: what was not flushed is lost
# with it, as in the cache of a real disk.
set -euo pipefail

package=$(realpath "${1:?the .deb}")
cuts=${2:-20}
# shellcheck source=systemd/tests/guest.sh
. "$(dirname "$0")/guest.sh"
clients=4
nbdkit='' device=''

# Powers up the disk and mounts it.
plug() {
    rm -f "$work/nbd"
    mkdir -p "$work/fuse" "$work/disk"
    TMPDIR=$work nbdkit -f -U "$work/nbd" --filter=cache file "file=$work/disk.img" cache=writeback &
    nbdkit=$!
    until_true "the disk" 20 test -S "$work/nbd"
    nbdfuse "$work/fuse" --unix "$work/nbd" &
    until_true "the disk's file" 20 test -e "$work/fuse/nbd"
    device=$(losetup --find --show "$work/fuse/nbd")
    mount -t ext4 "$device" "$work/disk"
}

# Takes what is left of it down.
unplug() {
    [[ -n $device ]] || return 0
    umount "$work/disk" 2>/dev/null || umount --lazy "$work/disk" || true
    losetup --detach "$device" || true
    fusermount3 -uz "$work/fuse" || true
    kill "$nbdkit" 2>/dev/null || true
    wait "$nbdkit" 2>/dev/null || true
    device=
}

cut_power() {
    kill -KILL "$nbdkit" "$leader"
    wait "$nbdkit" "$terminal" 2>/dev/null || true
    leader=
    unplug
}

# Places orders until the power is cut; the id of each that was acknowledged goes to a file.
buy() {
    local response
    while response=$(guest curl --silent --fail --request POST http://127.0.0.1:8080/v1/orders \
        --header 'Content-Type: application/json' --header "Authorization: Bearer $token" \
        --data "{\"items\":[{\"product_id\":\"$product\",\"quantity\":1}]}" 2>/dev/null); do
        jq -r .id <<<"$response"
    done >>"$work/acknowledged.$1"
}

# Each acknowledged order is one of the customer's.
audit() {
    local cursor='' page
    : >"$work/found"
    while :; do
        page=$(http GET "/v1/orders?limit=100${cursor:+&cursor=$cursor}" "$token")
        jq -r '.items[].id' <<<"$page" >>"$work/found"
        cursor=$(jq -r '.next_cursor // empty | @uri' <<<"$page")
        [[ -n $cursor ]] || break
    done
    lost=$(sort -u "$work"/acknowledged.* | comm -23 - <(sort -u "$work/found"))
    [[ -z $lost ]] || fail "lost: $lost"
    as_konbini check >"$work/check" || fail "$(cat "$work/check")"
}

make_root
cp "$package" "$root/root/konbini.deb"
truncate --size 1G "$work/disk.img"
mke2fs -q -F -t ext4 -E lazy_itable_init=0,lazy_journal_init=0 "$work/disk.img"
plug
mkdir "$work/disk/data" "$work/disk/backups"
nspawn_options="--bind=$work/disk/data:/var/lib/konbini --bind=$work/disk/backups:/var/backups/konbini"
boot
guest apt-get install --yes --quiet /root/konbini.deb >/dev/null || fail "apt-get install"
until_true "ready after the installation" 60 is_ready
sell 1000000

for ((number = 1; number <= cuts; number++)); do
    for ((client = 0; client < clients; client++)); do buy "$client" & done
    sleep "$((RANDOM % 3 + 1)).$((RANDOM % 10))"
    ((number % 2)) || guest systemctl start --no-block konbini-backup
    sleep "0.$((RANDOM % 10))"
    cut_power
    wait
    e2fsck -fp "$work/disk.img" >/dev/null || (($? == 1)) || fail "ext4 did not survive"
    plug
    boot
    until_true "ready after a power cut" 60 is_ready
    token=$(log_in mori@shop.example "a kettle and three lamps")
    audit
    step "cut $number: $(sort -u "$work"/acknowledged.* | wc -l) orders acknowledged, all there"
done
guest systemctl start konbini-backup || fail "konbini-backup"
step "passed"
