# Stands before the commands of a page: what the test does in place of the reader.
set -eu
served=
started=
trap 'test -z "$served$started" || kill $served $started' EXIT
# Where a hub will listen that what starts before it must know of. Below 32768, where the system gives ports to nobody
# who only asks for a free one, as the tests beside this one do.
free_port() {
    python3 - << 'END'
import random, socket
while True:
    port = random.randrange(10240, 32768)
    try:
        socket.socket().bind(("127.0.0.1", port))
    except OSError:
        continue
    print(port)
    break
END
}
PORT=$(free_port)
OTHER_PORT=$(free_port)

# Starts a hub, waits until it listens, and speaks to it from then on. The one that the page started before ends.
serving() {
    if [ -n "$served" ]; then
        kill "$served"
        wait "$served" || true
    fi
    # Here, since the child may come to it only after what the last hub said has been found.
    : > serve.log
    "$@" >> serve.log 2>&1 &
    served=$!
    until grep -q -e ' listens on ' -e '"the hub listens"' serve.log; do
        kill -0 "$served" || { cat serve.log >&2; exit 1; }
        sleep 0.05
    done
    FERRY_SERVER=$(sed -n 's/.*\( listens on \|"url":"\)\(https\{0,1\}:\/\/\)127\.0\.0\.1\(:[0-9]*\).*/\2localhost\3/p' serve.log)
    export FERRY_SERVER
}

# What goes on in the background says how it is stopped.
detached() {
    "$@" > detached.log
    cat detached.log
    started="$started $(sed -n 's/^stop it with: kill //p' detached.log)"
}

# Runs what goes on for ever until its first line, which is shown.
first_line() {
    : > line.log
    "$@" >> line.log &
    local pid=$!
    until [ -s line.log ]; do
        kill -0 "$pid"
        sleep 0.05
    done
    kill "$pid"
    wait "$pid" || true
    head -n 1 line.log
}

# What an app has written before the page begins: put_record DB APP/COLLECTION/ID JSON
put_record() {
    local token status
    token=$(ferry db token "$1" --op read,write --model records)
    exec 3<> "/dev/tcp/127.0.0.1/${FERRY_SERVER##*:}"
    printf 'PUT /v1/databases/%s/records/%s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n' "$1" "$2" "$token" >&3
    printf 'Content-Type: application/json\r\nContent-Length: %s\r\nConnection: close\r\n\r\n%s' "${#3}" "$3" >&3
    read -r _ status _ <&3
    exec 3>&-
    case $status in 2*) ;; *) echo "PUT $2: $status" >&2; exit 1 ;; esac
}

# The page begins here.
