# Goal: an allocation is its uid's: others can't free it, read it, or shut the
# daemon down; root can.  Needs root, to be somebody else.
. "$(dirname "$0")/lib.sh"
need jq setpriv
[ "$(id -u)" -eq 0 ] || skip "not root"
setpriv --reuid=65534 --regid=65534 --clear-groups true 2>/dev/null ||
	skip "can't change the uid here"
group=$(getent group 65534 | cut -d: -f1)
[ -n "$group" ] || skip "no group 65534"
start --group "$group"
chmod 711 "$work"
cp "$vmemctl" "$work/vmemctl"
nobody()
{
	setpriv --reuid=65534 --regid=65534 --clear-groups \
	    "$work/vmemctl" -t 60000 "$@"
}

equal 65534 "$(nobody -j info | jq .uid)" "uid as the daemon sees it"
A=$(ctl alloc 64K --tag t)
B=$(nobody alloc 64K --tag t)
expect 2 not_owner nobody free "$A"
expect 2 not_owner nobody touch "$A"
expect 2 not_owner nobody read "$A" 16
expect 2 not_owner nobody fill "$A"
expect 2 not_owner nobody shutdown
expect 2 not_owner nobody set log_level debug
expect 2 not_owner nobody free --all --force
equal 1 "$(nobody -j free --tag t | jq .freed)" "only its own"
B=$(nobody alloc 64K)
expect 0 '' ctl read "$B" 16
expect 0 '' ctl free "$B"
nobody alloc 64K >/dev/null
equal 1 "$(json .freed free --all)" "only root's own"
equal 1 "$(json .freed free --all --force)" "everyone's"
finish
