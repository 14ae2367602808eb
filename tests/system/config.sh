# Goal: vmemd.conf sets what options set, and the command line wins; errors name
# the line; SIGHUP reads it again, and a bad file changes nothing; SIGUSR1 logs
# a summary.
. "$(dirname "$0")/lib.sh"
need jq
conf=$work/vmemd.conf
cat >"$conf" <<END
# comment
; another
va-size = 2G
frames = 32M
swap-size = 64M
threads = 1
quota-bytes = 1M
log-level = info
END
start --config "$conf" --va-size 1G
equal 805306368 "$(json .size arena info heap)" "the command line wins"
expect 2 quota ctl alloc 2M
sed -i 's/quota-bytes = 1M/quota-bytes = 4M/' "$conf"
kill -HUP "$daemon"
poll "the new quota" ctl alloc 2M --tag q
ctl free --tag q >/dev/null

echo 'bogus = 1' >>"$conf"
kill -HUP "$daemon"
refused()
{
	grep -q "bogus" "$daemon_log"
}
poll "the refusal of the bad file" refused
expect 0 '' ctl alloc 2M --tag q
expect 0 '' ctl free --tag q

lines=$(wc -l <"$daemon_log")
kill -USR1 "$daemon"
summary()
{
	tail -n +$((lines + 1)) "$daemon_log" | grep -q heap
}
poll "the summary" summary
stop

# Errors name the file and the line.
expect 1 'vmemd.conf:9' timeout 60 "$vmemd" --socket "$VMEMD_SOCKET" \
    --config "$conf"
printf 'frames = lots\n' >"$conf"
expect 1 'vmemd.conf:1.*frames' timeout 60 "$vmemd" \
    --socket "$VMEMD_SOCKET" --config "$conf"
printf 'nothing at all\n' >"$conf"
expect 1 'vmemd.conf:1' timeout 60 "$vmemd" --socket "$VMEMD_SOCKET" \
    --config "$conf"
finish
