#!/usr/bin/env bash
# Measures the figures of docs/benchmarks.md on this machine, `./just bench`, and prints them as
# Markdown; progress goes to the standard error. It runs a cluster of its own, named bench, and takes
# it away afterwards. Arguments: the packages whose Go benchmarks are run.
set -euo pipefail
cd "$(dirname "$0")/.."
export CGO_ENABLED=0

name=bench
sock=/run/stave/$name/containerd.sock
work=$(mktemp -d /tmp/stave-bench.XXXXXX)
export KUBECONFIG=$work/kubeconfig
rounds=${ROUNDS:-11} # odd: the median is then a run that happened
many=${MANY:-300}    # pods on one node
crowd=${CROWD:-50}   # pods at once, beside as many containers of ctr
quiet=${QUIET:-600}  # seconds for which the idle cluster is watched

say() { printf 'bench: %s\n' "$*" >&2; }
stave() { bin/stave "$@"; }
now() { date +%s%3N; } # milliseconds
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
least() { sort -n | head -n 1; }
# timed prints how many milliseconds a command took; its output goes to the standard error.
timed() {
    local began
    began=$(now)
    "$@" >&2
    echo $(($(now) - began))
}
# rss prints a process's resident memory in MB.
rss() { awk '/^VmRSS/ { printf "%.0f\n", $2 / 1024 }' "/proc/$1/status"; }
# spent prints the CPU time of a process in milliseconds, written the bytes that it had the disk write.
spent() { awk -v hz="$(getconf CLK_TCK)" '{ printf "%d\n", ($14 + $15) * 1000 / hz }' "/proc/$1/stat"; }
written_by() { awk '/^write_bytes/ { print $2 }' "/proc/$1/io"; }
# clock is the time of the day as the log tells it, in milliseconds.
clock() { date -u +%s%3N | awk '{ print $1 % 86400000 }'; }
# way prints how long each pod of the file way took from the command to its event, to its address, to its image, to its start and
# to the end of the wait for it: what lies between is in the log.
way() {
    TZ=UTC0 stave tail --no-follow --last 2000 | awk -v ways="$work/way" '
        function ms(t,  p) { split(t, p, "[:.]"); return ((p[1] * 60 + p[2]) * 60 + p[3]) * 1000 + p[4] }
        BEGIN { while ((getline line < ways) > 0) { split(line, f, " "); began[f[1]] = f[2]; ended[f[1]] = f[3] } }
        match($0, /pod\/pod-[0-9]+/) { pod = substr($0, RSTART + 4, RLENGTH - 4) }
        !(pod in began) { next }
        $4 == "pods.created" { created[pod] = ms($2) }
        / gave it the address / { address[pod] = ms($2) }
        / pulled / { pulled[pod] = ms($2) }
        / started app/ { started[pod] = ms($2) }
        END { for (p in began) print created[p] - began[p], address[p] - created[p], pulled[p] - address[p], started[p] - pulled[p], ended[p] - started[p] }'
}
# cpu prints the CPU time of a command in milliseconds.
cpu() { local TIMEFORMAT='%U %S'; { time "$@" >/dev/null 2>&1; } 2>&1 | awk '{ printf "%d\n", ($1 + $2) * 1000 }'; }
# busy prints the CPU time that the whole machine has spent so far, in milliseconds.
busy() { awk -v hz="$(getconf CLK_TCK)" '/^cpu / { printf "%d\n", ($2 + $3 + $4 + $7 + $8) * 1000 / hz }' /proc/stat; }

# scale prints a benchmark of a whole cluster, in a process of its own.
scale() { go test ./cmd/stave -run '^$' -bench "$1" -benchtime "$2" -timeout 20m 2>/dev/null | grep -E '^(Benchmark|FAIL|---)' || true; }

peers=() # processes of others that are measured beside a cluster
# stop_peers ends them, the last one first: a kube-apiserver does not end without its etcd.
stop_peers() {
    local i
    for ((i = ${#peers[@]} - 1; i >= 0; i--)); do kill "${peers[i]}" 2>/dev/null && wait "${peers[i]}" || true; done
    peers=()
}
ended() {
    code=$?
    stop_peers
    bin/stave down --name "$name-api" --data-dir "$work/api" --purge >/dev/null 2>&1 || true # there, or not there yet
    bin/stave down --name "$name" --data-dir "$work/data" --purge >/dev/null 2>&1 || say "stave down failed; see $work"
    [ $code != 0 ] && { say "FAILED ($code); what was measured so far is above"; return; }
    rm -rf "$work"
}
trap ended EXIT
trap 'exit 130' INT TERM

up() { stave up --detach --name "$name" --data-dir "$work/data" --kubeconfig "$KUBECONFIG" --max-pods $((many + 20)); }

# pod prints the manifest of one pod of the demo's app.
pod() {
    cat <<YAML
apiVersion: v1
kind: Pod
metadata: {name: $1, labels: {app: bench}}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: app, image: "hello:demo", imagePullPolicy: Never}]
YAML
}
start_pod() {
    pod "$1" | stave apply -f -
    stave wait --for=condition=Ready "pod/$1" --timeout=60s
}

say "building the image and ctr (of the containerd release in go.mod)"
go build -ldflags "-s -w" -o bin/hello ./examples/hello
go run ./examples/hello/pack -binary bin/hello -tag hello:demo -out bin/hello.tar
containerd=$(go list -m -f '{{.Version}}' github.com/containerd/containerd/v2)
GOBIN=$work go install "github.com/containerd/containerd/v2/cmd/ctr@$containerd"

say "start-up"
began=$(now)
first=$(timed up)
stave image import bin/hello.tar >&2
start_pod first >&2
first_pod=$(($(now) - began))
stave down --name "$name" --data-dir "$work/data" >&2
again=$(timed up)
sleep 10 # what starting needed is given back by then
server=$(cat "/run/stave/$name.lock")
idle=$(rss "$server")
say "idle for $quiet s"
cpu=$(spent "$server") bytes=$(written_by "$server")
sleep "$quiet"
cpu=$((($(spent "$server") - cpu) * 1000 / quiet)) # of a million
bytes=$((($(written_by "$server") - bytes) * 3600 / quiet / 1000))
after=$(rss "$server")

say "$rounds pods, $rounds times ctr run"
shim=$(find "$work/data" "/run/stave/$name" -name 'containerd-shim-stave-*' -type f | head -n 1)
for i in $(seq "$rounds"); do
    began=$(clock)
    timed start_pod "pod-$i" >>"$work/pods"
    echo "pod-$i $began $(clock)" >>"$work/way"
    cpu stave get "pod/pod-$i" >>"$work/cli"
    # On the same containerd, with the same shim, so that only what Stave adds differs.
    timed "$work/ctr" -a "$sock" -n "stave-$name" run -d --runtime "$shim" docker.io/library/hello:demo "ctr-$i" >>"$work/ctrs"
    "$work/ctr" -a "$sock" -n "stave-$name" tasks rm -f "ctr-$i" >&2
    "$work/ctr" -a "$sock" -n "stave-$name" containers rm "ctr-$i" >&2
done

way >"$work/ways"
part() { cut -d ' ' -f "$1" "$work/ways" | median; }

say "$crowd pods at once, $crowd times ctr run at once"
pod crowd | awk '/^spec:/ { spec = 1 } spec' >"$work/spec"
# many_pods prints the manifest of a deployment of such pods.
many_pods() {
    printf 'apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: crowd}\nspec:\n  replicas: %s\n' "$1"
    printf '  selector: {matchLabels: {app: crowd}}\n  template:\n    metadata: {labels: {app: crowd}}\n'
    sed 's/^/    /' "$work/spec"
}
crowded() {
    stave apply -f "$work/crowd.yaml"
    stave rollout status deployment/crowd --timeout=600s
}
at_once() {
    for i in $(seq "$crowd"); do
        "$work/ctr" -a "$sock" -n "stave-$name" run -d --runtime "$shim" docker.io/library/hello:demo "once-$i" &
    done
    wait
}
many_pods "$crowd" >"$work/crowd.yaml"
for _ in 1 2 3; do
    timed crowded >>"$work/crowds"
    stave delete deployment/crowd >&2
    until [ -z "$(stave get pods -l app=crowd -o name)" ]; do sleep 0.2; done
    timed at_once >>"$work/onces"
    for i in $(seq "$crowd"); do
        "$work/ctr" -a "$sock" -n "stave-$name" tasks rm -f "once-$i" >&2
        "$work/ctr" -a "$sock" -n "stave-$name" containers rm "once-$i" >&2
    done
done

say "requests to a pod directly and through its service"
stave apply -f - >&2 <<'YAML'
apiVersion: v1
kind: Service
metadata: {name: one}
spec:
  selector: {one: "true"}
  ports: [{port: 80, targetPort: 8080}]
YAML
pod one | sed 's/app: bench/one: "true"/' | stave apply -f - >&2
stave wait --for=condition=Ready pod/one --timeout=60s >&2
direct=http://$(stave get pod one -o 'jsonpath={.status.podIP}'):8080/
service=http://$(stave get service one -o 'jsonpath={.spec.clusterIP}')/
requests=3000
for _ in $(seq 5); do
    for way in direct service; do
        began=$(busy)
        bin/hello -get "${!way}" -n $requests >/dev/null
        echo $((($(busy) - began) * 1000 / requests)) >>"$work/$way"
    done
done

say "$many pods on one node"
before=$(rss "$server")
many_pods "$many" >"$work/crowd.yaml"
filled=$(timed crowded)
sleep 10
shims=$(for p in $(pgrep -f "containerd-shim-stave.*stave-$name"); do awk '/^Pss:/ { print $2 }' "/proc/$p/smaps_rollup"; done |
    awk '{ sum += $1 } END { printf "%.1f", sum / NR / 1024 }')
each=$(awk -v s="$shims" -v d="$(($(rss "$server") - before))" -v n="$many" 'BEGIN { printf "%.1f", s + d / n }')

say "durable writes, beside an etcd's on the same disk, both synced before they are answered"
(cd docs/etcd && go build -o "$work/etcd" .)
put() {
    mkdir "$work/etcd-$1"
    "$work/etcd" -dir "$work/etcd-$1" -writers "$1" -puts "$2"
    rm -r "$work/etcd-$1"
}
writes=$(TMPDIR=$work go test ./cmd/stave -run '^$' -bench 'Write$' -benchtime 1x 2>&1 | grep -E '^(Benchmark|FAIL|---)' || true)
written() { awk -v w="/writers=$1-" 'index($1, w) { for (i = 3; i < NF; i += 2) if ($(i + 1) != "ns/op") printf "%s %s ", $i, $(i + 1) }' <<<"$writes"; }

say "the Kubernetes API, beside a kube-apiserver with its etcd, which take some minutes to be compiled once"
mkdir "$work/peer"
for tool in . k8s.io/kubernetes/cmd/kube-apiserver go.etcd.io/etcd/server/v3; do
    (cd docs/kubeapi && go build -ldflags "-s -w" -o "$work/peer/$(sed 's,^\.$,kubeapi,; s,.*/server/v3$,etcd,; s,.*/,,' <<<"$tool")" "$tool")
done
up_api() {
    stave up --detach --name "$name-api" --data-dir "$work/api" --kubeconfig "$work/api.kubeconfig" "$@" >&2
    sleep 10 # what starting needed is given back by then
    rss "$(cat "/run/stave/$name-api.lock")"
}
down_api() { stave down --name "$name-api" --data-dir "$work/api" --purge >&2; }
without=$(up_api --no-kube)
down_api
with=$(up_api)
KUBECONFIG=$work/api.kubeconfig "$work/peer/kubeapi" -kubeconfig "$work/api.kubeconfig" -pids "$(cat "/run/stave/$name-api.lock")" >"$work/api.stave"
down_api
"$work/peer/kubeapi" -prepare "$work/peer" -address 127.0.0.1:16443
"$work/peer/etcd" --data-dir "$work/peer/data" --listen-client-urls http://127.0.0.1:12379 --advertise-client-urls http://127.0.0.1:12379 \
    --listen-peer-urls http://127.0.0.1:12380 >"$work/peer/etcd.log" 2>&1 &
peers+=($!)
"$work/peer/kube-apiserver" --etcd-servers http://127.0.0.1:12379 --cert-dir "$work/peer/certs" --bind-address 127.0.0.1 --secure-port 16443 \
    --authorization-mode RBAC --token-auth-file "$work/peer/tokens.csv" --service-account-key-file "$work/peer/accounts.key" \
    --service-account-signing-key-file "$work/peer/accounts.key" --service-account-issuer https://bench --service-cluster-ip-range 10.99.0.0/16 \
    --disable-admission-plugins ServiceAccount >"$work/peer/apiserver.log" 2>&1 &
peers+=($!)
"$work/peer/kubeapi" -kubeconfig "$work/peer/kubeconfig" -pids "${peers[1]},${peers[0]}" >"$work/api.peer"
stop_peers
mkdir "$work/peer/echo"
"$work/peer/kubeapi" -echo "$work/peer/echo" -address 127.0.0.1:16444 &
peers+=($!)
until [ -s "$work/peer/echo/echo.key" ]; do sleep 0.1; done
"$work/peer/kubeapi" -kubeconfig "$work/peer/echo/kubeconfig" -pids "${peers[-1]}" -bound >"$work/api.echo"
stop_peers
# api prints a figure of the one and of the other.
api() { awk -v what="$1" -v unit="$2" '$1 == what && $3 == unit { printf "| %s ", $2 }' "$work/api.stave" "$work/api.peer"; }

cat <<MD
# Benchmarks

Measured by \`./just bench\` on $(nproc) cores ($(awk -F': ' '/^model name/ { print $2; exit }' /proc/cpuinfo)), Linux $(uname -r),
$(date -u +%Y-%m-%d), version $(git describe --tags --always --dirty 2>/dev/null || echo dev). Milliseconds of wall clock unless said otherwise.
The machine is a part of a larger one and is not always as fast: runs are compared by \`BenchmarkDecode/encoding/json\` at the end, which is Go's own code.

| | |
|---|---|
| \`stave up --detach\`, first start | $first |
| \`stave up --detach\`, with data | $again |
| from nothing to the first pod Ready (start, image import, apply, wait) | $first_pod |
| resident memory of the idle process, server and node agent with containerd and NATS, 10 s after start (after $quiet s more) | $idle MB ($after MB) |
| its CPU while idle, of one core | $(awk -v c="$cpu" 'BEGIN { printf "%.2f", c / 10000 }') % |
| what it has the disk write while idle, an hour | $bytes kB |
| $many pods of one Deployment on one node, from apply to all Ready | $filled |
| memory of each besides its own process: its shim and what the server grew | $each MB |
| the binary | $(du -m --apparent-size bin/stave | cut -f1) MB |
| pod: \`stave apply\` and \`stave wait --for=condition=Ready\`, median (least) of $rounds | $(median <"$work/pods") ($(least <"$work/pods")) |
| container: \`ctr run -d\` on the same containerd with the same shim, median (least) of $rounds | $(median <"$work/ctrs") ($(least <"$work/ctrs")) |
| of a pod's way, median: from the command to its event (start of the CLI, request, admission) | $(part 1) |
| … to its address (assignment, feed, namespaces, link; its shim and container are made beside that) | $(part 2) |
| … to its image (looked up, told) | $(part 3) |
| … to its start (runc, told) | $(part 4) |
| … until \`stave wait\` has said so and ended | $(part 5) |
| CPU of one call of the CLI, \`stave get pod\`, median | $(median <"$work/cli") |
| $crowd pods of one Deployment at once, from apply to all Ready, median (least) of 3 | $(median <"$work/crowds") ($(least <"$work/crowds")) |
| $crowd times \`ctr run -d\` at once, median (least) of 3 | $(median <"$work/onces") ($(least <"$work/onces")) |
| CPU of one HTTP request over a new connection, to the pod's address, median of 5 × $requests | $(median <"$work/direct") µs |
| the same through the service's cluster IP | $(median <"$work/service") µs |

CPU is the whole machine's, client and server included, so the difference of the last two rows is what the service costs.

## Writes

Objects of 300 bytes, each answered when it is on the disk: ConfigMaps created through Stave's door (\`BenchmarkWrite\`: strictly decoded, defaulted,
validated, and folded), and keys put into the etcd of \`docs/etcd\`. Server and clients share the cores. Wanted are at most 1 ms for one, and five times etcd's rate.

| | Stave | etcd |
|---|---|---|
| one after the other | $(written 1) | $(put 1 2000) |
| a thousand at once | $(written 1000) | $(put 1000 50000) |

## The Kubernetes API

The same client-go program (\`docs/kubeapi\`) asks Stave and, after it, a kube-apiserver with its etcd on the same disk: ConfigMaps of 300 bytes, pods that no
scheduler takes. Lists are of the same pods, ten times after a first time that stands apart: Stave keeps the bytes of pods that have not changed
(docs/adr/0077). CPU and memory are those of all of the server's processes. Wanted are at most 1.5 ms for one create and five times the other's rate for a
hundred clients, 150 and 60 ms of CPU to list 10,000 pods, 50 KB a watch, and at most 40 MiB for the door of an idle process: it took $without MB without its
Kubernetes API and $with MB with it, 10 s after its start.

| | Stave | kube-apiserver |
|---|---|---|
| one client creates a ConfigMap, ms (p50) $(api create ms-p50)|
| the same, p99 $(api create ms-p99)|
| a hundred clients at once, creates/s $(api together creates/s)|
| the same clients and a server that does nothing but answer (\`echo.go\`): more is not to be had here | $(awk '$1 == "together" { printf "%.0f", $2 }' "$work/api.echo") | |
| list 10,000 pods as JSON, CPU-ms of the server $(api list-application/json CPU-ms)|
| the first time $(api list-first-application/json CPU-ms)|
| list them as protobuf $(api list-application/vnd.kubernetes.protobuf CPU-ms)|
| the first time $(api list-first-application/vnd.kubernetes.protobuf CPU-ms)|
| one of 1,000 watches, KB of memory $(api watch KB-each)|
| until all 1,000 have heard of a change, ms $(api change ms-until-all-have-it)|
| what that costs the server, CPU-ms $(api change CPU-ms)|

## Services

A short request from one pod to another, directly and by ClusterIP, in turns within one run (\`BenchmarkRequest\`): wanted is a ratio of at most
1.05 at 1 and at 10,000 services. 10,000 services of 100 backends written into empty tables (\`BenchmarkFromEmpty\`): wanted are 50 ms. One endpoint
that comes or goes among 10,000 services, from the feed's message to tables and names (\`BenchmarkEndpointChange\`): wanted are 50 µs.

\`\`\`
$(say "requests and tables"; go test ./dataplane/ebpf -run '^$' -bench 'Request|FromEmpty' -benchtime 3s 2>&1 | grep -E '^(Benchmark|FAIL|---)' || true)
$(say "one endpoint among 10,000 services"; go test ./cmd/stave -run '^$' -bench EndpointChange 2>&1 | grep -E '^(Benchmark|FAIL|---)' || true)
\`\`\`

## Time

On a log of a million events (\`BenchmarkYears\`), and on a cluster of 10,000 pods (\`BenchmarkForesee\`): from the request to its answer, medians.
Wanted are 1 s for any moment, 200 ms for why, history and blame, 2 s for plan and whatif, and 8 s to verify all from its segments and fold it.

\`\`\`
$(say "a log of a million events"; go test ./cmd/stave -run '^$' -bench Years -benchtime 15x -timeout 20m 2>&1 | grep -E '^(Benchmark|FAIL|---)' || true)
$(say "plans for 10,000 pods"; go test ./gateway/api -run '^$' -bench Foresee -benchtime 15x 2>&1 | grep -E '^(Benchmark|FAIL|---)' || true)
\`\`\`

## Scale

One process holds everything: the durable log, admission, the controllers, both doors, the feed, a service and somebody who watches, and pretended
nodes that connect as real ones do (\`node/hollow\`). Wanted are 5,000 pods/s and 0.25 CPU-ms a pod for 5,000 pods on 100 nodes, a rate within 20 % of
that and 350 MiB for 50,000 on 1,000; 3 ms for one pod, and 100 ms beside a rollout of 30,000; a restart with 100,000 pods in 2 s; 100 ms to the first
row of 10,000 pods; 50 ms (p99) until a thousand watchers have a change. CPU and memory are the whole process's, with the pretended nodes and watchers.

Where the time goes at 50,000 pods, by profile: a quarter to collecting garbage, which is as dear as there are rows; a quarter to the server's and the nodes'
ends of a thousand connections; a tenth each to the pretended nodes themselves, the controllers, and the fold (docs/adr/0078). What is allocated for a pod, and what lives in the end, depend less on what else the machine does.

Memory at 50,000 on 1,000 is not what is wanted. Of what is in use (\`live-MB\`) the fold's rows are the most; then come the server's ends of the connections, the log's newest
blocks and the stream's index of subjects, and of pretended nodes in the same process their pods and their own ends. Stacks (\`stack-MB\`) and the binary's own
pages are not of the heap. The rest is garbage that is not collected yet, and holes that it left. Who has less memory than time sets \`GOGC=50\` (docs/adr/0047 has figures).
After half a minute of calm what is free is given back, but for the holes: \`rest-MB\`. The rows \`apart\` have the pretended nodes in a process of their own,
\`stave node hollow\`: CPU and memory are then the control plane's alone.
One pod's time lies in five appends, each decided on the one before (0.3 to 1 ms a hop); beside a rollout, in the turns of the writer that it waits for,
the scheduler's among them, and in the processor, of which the rollout takes all (docs/adr/0039).

\`\`\`
$(say "scale"; for where in '' ,apart; do scale "Scale/pods=5000\$/nodes=100$where\$" 5x; scale "Scale/pods=50000\$/nodes=1000$where\$" 1x; done; scale OnePod 50x; scale Restart 5x; scale FirstRow 11x; scale Watchers 5x)
\`\`\`

## Go benchmarks

\`\`\`
$(say "go benchmarks"; go test -run '^$' -bench . -benchmem "$@" 2>&1 | grep -E '^(Benchmark|pkg:|cpu:|FAIL|---)' || true)
\`\`\`
MD
