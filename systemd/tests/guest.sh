# Functions of the tests that boot Debian with konbini in systemd-nspawn: boot.sh, power-cut.sh.
#
# Needs systemd-container, jq and mmdebstrap. ROOT names the archive of Debian's root, which is
# made if it is absent, of the release SUITE and by packages of MIRROR. The guest has a network
# of its own, and only loopback in it.
# shellcheck shell=bash

suite=${SUITE:-bookworm}
tar=${ROOT:-/var/tmp/konbini-boot-$suite.tar}
work=$(mktemp -d /var/tmp/konbini-boot.XXXXXX)
root=$work/root
leader=
# Further options of systemd-nspawn.
nspawn_options=

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
        --private-network --capability=all --system-call-filter=bpf --directory=$root $nspawn_options --boot \
        systemd.unit=multi-user.target SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1" "$work/console" >/dev/null 2>&1 </dev/null &
    terminal=$!
    until_true "the guest has a first process" 30 find_leader
    leader=$(find_leader)
    until_true "the guest has booted" 120 guest systemctl is-active multi-user.target
}

find_leader() {
    local nspawn
    nspawn=$(pgrep --parent "$terminal" --full systemd-nspawn | head -n 1)
    [[ -n $nspawn ]] && pgrep --parent "$nspawn" | head -n 1 | grep .
}

halt() {
    guest systemctl poweroff
    wait "$terminal" || true
    leader=
}

clean_up() {
    [[ -z $leader ]] || halt || true
    unplug
    rm -rf --one-file-system "$work"
    # nspawn leaves its two control groups behind, empty.
    rmdir /sys/fs/cgroup/{systemd,unified}/{payload,supervisor} 2>/dev/null || true
}
trap clean_up EXIT

# What a test has beside the guest, to be taken down at its end.
unplug() { :; }

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

# Makes the folder of the guest.
make_root() {
    if ! [[ -e $tar ]]; then
        step "a root of Debian"
        mmdebstrap --mode=root --variant=minbase --include=systemd,systemd-sysv,dbus,curl,procps \
            "$suite" "$tar" ${MIRROR:+"$MIRROR"}
    fi
    mkdir "$root"
    tar --extract --file "$tar" --directory "$root" --exclude './dev/*'
}

# sell PIECES: the first admin and a product; sets `product`, and `token` of a customer.
sell() {
    local admin
    admin=$(as_konbini user add --email admin@shop.example --role admin --json)
    token=$(log_in admin@shop.example "$(jq -r .password <<<"$admin")")
    printf 'sku,title,price,currency,status,stock\nkettle,A kettle,19.90,EUR,published,%s\n' "$1" |
        guest tee /tmp/catalogue.csv >/dev/null
    as_konbini products import /tmp/catalogue.csv || fail "import"
    product=$(http GET /v1/products | jq -r '.items[0].id')
    http POST /v1/users "" '{"email":"mori@shop.example","name":"Mori","password":"a kettle and three lamps"}' >/dev/null
    token=$(log_in mori@shop.example "a kettle and three lamps")
}

# The id of an order of one piece.
place_order() {
    http POST /v1/orders "$token" "{\"items\":[{\"product_id\":\"$product\",\"quantity\":1}]}" | jq -r .id
}
