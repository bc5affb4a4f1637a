#!/usr/bin/env bash
# The demo, `./just demo`: a cluster, three pods of a web app, and their service, from nothing.
# It may be run again at any time; every step then finds its work done or does it anew.
set -euo pipefail
cd "$(dirname "$0")/../.."
export CGO_ENABLED=0 # the image holds nothing but the binary

stave() { bin/stave "$@"; }

bold='' plain=''
[ ! -t 1 ] || { bold=$'\033[1m' plain=$'\033[0m'; }

now="starting"
step() {
    now=$1
    printf '\n%s== %s%s\n' "$bold" "$now" "$plain"
}
# show prints a command as a reader would type it, then runs it.
show() {
    printf '$ bin/stave'
    printf ' %q' "$@"
    printf '\n'
    stave "$@"
}
ended() {
    code=$?
    [ $code = 0 ] && return
    if [ $code = 130 ] || [ $code = 143 ]; then
        printf '\ndemo: stopped while: %s. What runs goes on running; ./just down stops it, ./just demo goes on.\n' "$now" >&2
    else
        printf '\ndemo: FAILED (%s) while: %s\n' "$code" "$now" >&2
        printf 'demo: to look into it: bin/stave cluster-info, bin/stave get pods, bin/stave why deployment/hello; ./just down stops everything\n' >&2
    fi
}
trap ended EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

step "making the image hello:demo from a static binary, without a registry"
go build -ldflags "-s -w" -o bin/hello ./examples/hello
go run ./examples/hello/pack -binary bin/hello -tag hello:demo -out bin/hello.tar

step "starting a cluster"
if stave cluster-info >/dev/null 2>&1; then
    echo "one is running already"
else
    show up --detach
fi

step "bringing the image onto the node"
show image import bin/hello.tar

step "applying examples/hello/hello.yaml"
show apply -f examples/hello/hello.yaml

step "waiting until three pods are available"
show wait --for=condition=Available deployment/hello --timeout=120s
show get pods -l app=hello -o wide

step "calling the app through its service"
ip=$(stave get service hello -o 'jsonpath={.spec.clusterIP}')
echo "\$ bin/hello -get http://$ip/ -n 9"
answers=$(bin/hello -get "http://$ip/" -n 9)
echo "$answers"
pods=$(sort -u <<<"$answers" | wc -l)
echo "9 answers from $pods different pods"

step "asking why one of the pods runs"
mapfile -t names < <(stave get pods -l app=hello -o name)
[ ${#names[@]} -gt 0 ]
show why "${names[0]}"

now="finishing"
cat <<TEXT

It runs. Try next (bin/stave --help tells the rest):
  bin/stave delete ${names[0]}            another one takes its place
  bin/stave scale deployment/hello --replicas=10
  bin/stave logs ${names[0]} -f
  bin/stave tail                          the log: everything that happened, and who caused it
  bin/stave history deployment/hello
  bin/stave apply -f examples/hello/hello.yaml   after changing GREETING in it: a rolling update
  ./just down                             stops it all; ./just down --purge forgets it too
TEXT
