# Runs the server COMMAND for the test process at the other end of stdin, in a new directory, whose path it prints first.
# Answers each order with one line: `start` with the process id, `stop` and `running?` when done.
# When stdin closes, because the test process wants that or was killed, it ends the server and removes the directory.
#
#   sh -c SCRIPT watchdog SIGNAL COMMAND [ARGUMENT...]
trap : HUP INT TERM PIPE # a handler, not '': the server must not inherit ignored signals
signal=$1
shift
directory=$(mktemp -d "${TMPDIR:-/tmp}/partway-test.XXXXXX") && cd "$directory" || exit 1
echo "$directory"

end_server() {
  [ -n "$server" ] || return 0
  kill -s "$signal" "$server"
  kill -s CONT "$server" # a test may have stopped it
  wait "$server"
  server=
} 2>/dev/null

server=
while read -r order; do
  case $order in
  start)
    "$@" </dev/null >log 2>&1 &
    server=$!
    echo "$server"
    ;;
  stop)
    end_server
    echo stopped
    ;;
  'running?')
    jobs >/dev/null # reaps: until then kill -0 finds a server that has ended
    if kill -0 "$server" 2>/dev/null; then echo yes; else echo no; fi
    ;;
  esac
done
end_server
cd /
# Processes that the server started may still be ending, and writing.
for _ in 1 2 3 4 5 6 7 8 9 10; do
  rm -rf "$directory" 2>/dev/null && exit
  sleep 0.5
done
