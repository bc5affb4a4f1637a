# The one door to this repository: `./just` lists the recipes (the wrapper installs `just` where it is missing).

set shell := ["bash", "-euo", "pipefail", "-c"]

# One set of flags for every recipe: go keeps compiled packages by their flags, and two sets would compile everything twice.
export CGO_ENABLED := "0"
export GOFLAGS := "-trimpath -buildvcs=false " + prepend("-gcflags=", append("=-l", cold))

# Packages that no hot path goes through. Their functions are not inlined: copies of them are nearly 4 of the binary's megabytes.
cold := """
    github.com/google/gnostic-models/... github.com/google/cel-go/parser/... github.com/google/cel-go/ext
    github.com/google/cel-go/checker/... github.com/google/cel-go/common/stdlib
    github.com/antlr4-go/antlr/... github.com/vishvananda/... github.com/alecthomas/kong
    github.com/pelletier/... github.com/godbus/... github.com/spf13/... github.com/emicklei/...
    github.com/containerd/... github.com/cilium/ebpf/... k8s.io/api/admissionregistration/...
    k8s.io/api/networking/... k8s.io/api/storage/... k8s.io/api/flowcontrol/... k8s.io/api/scheduling/...
    k8s.io/api/certificates/... k8s.io/api/authorization/... k8s.io/api/resource/... k8s.io/api/policy/... k8s.io/api/rbac/...
    k8s.io/api/node/... k8s.io/api/autoscaling/... k8s.io/apiextensions-apiserver/... k8s.io/kube-openapi/... google.golang.org/grpc/...
    github.com/goccy/... go.yaml.in/... github.com/go-openapi/... go.opentelemetry.io/...
    github.com/intel/... github.com/opencontainers/... k8s.io/component-base/...
"""

# sudo and cron drop the places where Go and the network tools live.
export PATH := env_var("PATH") + ":/usr/local/go/bin:/usr/sbin:/sbin"

version := `git describe --tags --always --dirty 2>/dev/null || echo dev`
just := just_executable()

# What the machine must have: command=Debian package. Everything else is inside the binary.
machine := "runc=runc ip=iproute2 /etc/ssl/certs/ca-certificates.crt=ca-certificates"

# The compiler of the eBPF programs; only `generate` needs it, the objects are committed.
compiler := "clang=clang llvm-strip=llvm /usr/include/bpf/bpf_helpers.h=libbpf-dev"

# Another kernel, in a virtual machine; only `soak` needs it.
guests := "qemu-system-x86_64=qemu-system-x86 mke2fs=e2fsprogs"

# The packages whose benchmarks are kept in docs/benchmarks.md.
benched := "./events/... ./projections/... ./reconcilers/... ./bus/... ./dataplane/... ./node/containerd"

# Not SA1019 (deprecated): people's manifests name deprecated kinds and fields, and honouring them is our work.
checks := "inherit,-SA1019"

[private]
default:
    @"{{ just }}" --list --unsorted --list-heading $'./just RECIPE\n'

# A cluster, a web app of three pods behind a service, and why it runs: the whole thing in one command
demo: _root build
    @bash examples/hello/demo.sh

# Start a cluster on this machine in the foreground (flags go to `stave up`)
up *flags: _root build
    bin/stave up {{ flags }}

# Stop the cluster; nothing stays running, mounted or pinned (--purge removes its data too)
down *flags: _root
    @[ -x bin/stave ] || { echo "just down: bin/stave is not built; ./just build makes it" >&2; exit 1; }
    bin/stave down {{ flags }}

# Build bin/stave, one static binary with everything inside but runc
build: _setup _shim
    go build -ldflags "-s -w -X main.version={{ version }}" -o bin/stave ./cmd/stave

# The gate: lint and every test, with real containers, in 20 minutes on 2 cores with cold caches
test: _root lint _weigh
    go test -p 2 -timeout 20m ./...

# The long forms of the tests: more seeds, more rounds, hours if asked (arguments: packages)
soak *packages="./...": _root _setup _shim (_install guests)
    STAVE_SOAK=1 go test -p 1 -count=1 -timeout 60m -v {{ packages }}
    @"{{ just }}" fuzz 60s {{ packages }}

# To make small what it finds takes Go a minute each time, in which nothing else is tried: here it gets five seconds.
# Each fuzz target for a while; an input that fails becomes a seed in testdata/fuzz, which the gate runs from then on
fuzz time="60s" *packages="./...": _root _setup _shim
    #!/usr/bin/env bash
    set -euo pipefail
    go list -f '{{{{.Dir}}' {{ packages }} | while read -r dir; do
        { grep -hoE '^func Fuzz[A-Za-z0-9_]+' "$dir"/*_test.go 2>/dev/null || true; } | while read -r _ target; do
            echo "fuzz ${dir#"$PWD/"} $target"
            go test -run '^$' -fuzz "^$target\$" -fuzztime {{ time }} -fuzzminimizetime 5s -timeout 20m "$dir" </dev/null
        done
    done

# A pretended cluster with seeded faults, seed after seed until a judge finds something (-seed N -n N -actions N -trace)
sim *flags: _setup
    @go build -o bin/sim ./reconcilers/sim/cmd
    @exec bin/sim {{ flags }}

# The figures of docs/benchmarks.md, measured here and now
bench: _root build
    @bash docs/benchmarks.sh {{ benched }}

# Kubernetes' own end-to-end suite on a cluster of its own; minutes to build at first (--help has examples)
[positional-arguments]
conformance *flags: _root build
    @go build -o bin/conformance ./cmd/conformance
    @exec bin/conformance "$@"

# go vet, staticcheck, and the house's own rules (cmd/house)
lint: _setup _shim
    go vet ./...
    go run ./cmd/house
    go tool staticcheck -checks {{ checks }} ./...

# Make anew what is generated and committed: the eBPF objects, the Kubernetes API's merge schema
generate: _setup (_install compiler)
    go generate ./dataplane/ebpf ./gateway/kube/schema

# Everything that the recipes above need from this machine
_setup: (_install machine)
    @go version 2>/dev/null | grep -qE 'go1\.(2[1-9]|[3-9][0-9])' || { echo "just: Go 1.21 or newer is needed, which fetches the release that go.mod names: https://go.dev/dl" >&2; exit 1; }

# What people fetch has a bound, in bytes; `cold` above is where room was found the last time.
_weigh: build
    @size=$(stat -c %s bin/stave); [ "$size" -le 85000000 ] || { echo "just: bin/stave has $size bytes, and may have 85000000" >&2; exit 1; }

# Made before anything is compiled, because the binary embeds it.
_shim:
    go generate ./node/shim/...

_root:
    @[ "$(id -u)" = 0 ] || { echo "just: this runs real containers and needs root: sudo ./just …" >&2; exit 1; }

# Installs what is missing of "command=package …" with apt-get, or names it.
_install wanted:
    #!/usr/bin/env bash
    set -euo pipefail
    missing=()
    for pair in {{ wanted }}; do
        probe=${pair%%=*}
        [ -e "$probe" ] || command -v "$probe" >/dev/null 2>&1 || missing+=("${pair#*=}")
    done
    [ ${#missing[@]} -gt 0 ] || exit 0
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        echo "just: this machine lacks: ${missing[*]}" >&2
        echo "just: install it as root, on Debian with: apt-get install ${missing[*]}" >&2
        exit 1
    fi
    export DEBIAN_FRONTEND=noninteractive
    echo "just: installing ${missing[*]} with apt-get"
    # The lists of a fresh machine are absent, those of an old one name files that are gone: both ask for one update.
    install() { apt-get -qq -o DPkg::Lock::Timeout=120 install -y --no-install-recommends "${missing[@]}" >/dev/null; }
    install 2>/dev/null || { apt-get -qq update && install; }
