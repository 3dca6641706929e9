#!/usr/bin/env bash
# Builds the image with Docker/Dockerfile by buildah and runs it by runc, without a container engine.
# CI cannot pull images, so the two base images of the Dockerfile are created here, from Debian's packages and the local Rust.
# Needs root, Debian's packages and cargo; other tools are installed. The image is deleted at the end.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=.ci/machine.sh
. .ci/machine.sh

work=$(mktemp -d)
readonly work
readonly IMAGE=starlink-telemetry-ci
running=
# The output that is shown after a failure.
log=

# All data of buildah is in the work directory, so that images of this machine are not affected and none is left.
builder() {
  buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs "$@"
}

# runc is the runtime of Docker and containerd.
runtime() {
  runc --root "$work/runc" "$@"
}

fail() {
  echo "failed: $*" >&2
  [[ ! -s $log ]] || tail -n 40 "$log" >&2
  exit 1
}

# shellcheck disable=SC2317,SC2329 # run by the trap below
clean_up() {
  if [[ -n $running ]]; then
    runtime delete --force "$IMAGE" 2>/dev/null || true
    wait "$running" 2>/dev/null || true
  fi
  if [[ -d $work/storage ]]; then
    builder umount --all >/dev/null 2>&1 || true
    builder rm --all >/dev/null 2>&1 || true
  fi
  rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 1' INT TERM

# logged NAME COMMAND...: shows the output only after a failure.
logged() {
  log=$work/$1.log
  shift
  "$@" >"$log" 2>&1 || fail "$*"
}

# debian NAME PACKAGES: creates a container NAME with a minimal Debian and additional packages.
debian() {
  local container root codename url
  read -r codename url < <(mirror)
  [[ -n $url ]] || fail "apt has no source of $codename's main section"
  container=$(builder from --name "$1" scratch)
  root=$(builder mount "$container")
  mkdir -p "$work/packages"
  logged "debootstrap-$1" debootstrap --variant=minbase --cache-dir="$work/packages" ${2:+--include="$2"} "$codename" "$root" "$url"
  # Debian's slim images do not have these either.
  rm -rf "$root"/usr/share/{doc,info,locale,man}/* "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/*
}

# The build image: like rust:slim, but the local Rust is mounted instead of copying 500 MB. Its variables let the unmodified Dockerfile build
# with few optimisations, which takes a third of the time: the program as it is shipped is tested outside of the image.
make_build_image() {
  local root
  debian build gcc,libc6-dev,ca-certificates
  root=$(builder mount build)
  mkdir -p "$root/usr/local/rust" "$root/usr/local/cargo"
  # The machine's certificates, because the registry may be reached through a private authority.
  cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
  builder config --env PATH=/usr/local/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    --env CARGO_HOME=/usr/local/cargo --env CARGO_NET_OFFLINE=true \
    --env CARGO_PROFILE_RELEASE_LTO=off --env CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 --env CARGO_PROFILE_RELEASE_OPT_LEVEL=1 build
  logged commit-build builder commit --rm --disable-compression build localhost/build
}

make_runtime_image() {
  debian runtime ''
  logged commit-runtime builder commit --rm --disable-compression runtime localhost/runtime
}

# Builds the unmodified Dockerfile, with the crates that the local cargo has fetched, so that no network is needed.
build_image() {
  cargo fetch --locked --quiet
  logged build builder bud --isolation chroot --format docker --file Docker/Dockerfile --tag "localhost/$IMAGE" \
    --volume "$(rustc --print sysroot):/usr/local/rust:ro" --volume "${CARGO_HOME:-$HOME/.cargo}/registry:/usr/local/cargo/registry" \
    --build-arg BUILD_IMAGE=localhost/build --build-arg RUNTIME_IMAGE=localhost/runtime \
    --build-arg VERSION="$version" --build-arg REVISION="$revision" --build-arg CREATED="$created" .
}

# inspect FILTER: reads the image's configuration.
inspect() {
  jq -r "$1" "$work/image.json"
}

# expect WHAT IS WANTED
expect() {
  [[ $2 == "$3" ]] || fail "$1 is \"$2\", not \"$3\""
}

check_configuration() {
  builder inspect --type image "localhost/$IMAGE" >"$work/image.json"
  expect "the user" "$(inspect .Docker.config.User)" 65532:65532
  expect "the port" "$(inspect '.Docker.config.ExposedPorts | keys | join(" ")')" 9100/tcp
  expect "the allocator's setting" "$(inspect '.Docker.config.Env[] | select(startswith("MALLOC_"))')" MALLOC_TRIM_THRESHOLD_=131072
  expect "the entry point" "$(inspect '.Docker.config.Entrypoint | join(" ")')" starlink-telemetry
  # The exec form, because it needs no shell.
  expect "the health check" "$(inspect '.Docker.config.Healthcheck.Test // [] | join(" ")')" "CMD starlink-telemetry healthcheck"
  local label=.Docker.config.Labels.\"org.opencontainers.image
  expect "the title" "$(inspect "$label.title\"")" starlink-telemetry
  expect "the description" "$(inspect "$label.description\"")" "$(manifest description)"
  expect "the licence" "$(inspect "$label.licenses\"")" "$(manifest license)"
  expect "the version" "$(inspect "$label.version\"")" "$version"
  expect "the revision" "$(inspect "$label.revision\"")" "$revision"
  expect "the day of the build" "$(inspect "$label.created\"")" "$created"
  expect "the base's name" "$(inspect "$label.base.name\"")" localhost/runtime
}

# manifest FIELD: the value in Cargo.toml.
manifest() {
  cargo metadata --no-deps --locked --format-version 1 | jq -r ".packages[] | select(.name == \"starlink-telemetry\") | .$1"
}

# The container as Docker and Kubernetes run it with our manifests: the image's user, environment and entry point, a read-only root file
# system, no capabilities, no new privileges. It uses the loopback of the host's network.
make_bundle() {
  local rootfs=$1
  shift
  mkdir -p "$work/bundle"
  jq --arg rootfs "$rootfs" '.Docker.config | {
    ociVersion: "1.0.2",
    root: {path: $rootfs, readonly: true},
    process: {
      cwd: (if .WorkingDir == "" or .WorkingDir == null then "/" else .WorkingDir end),
      user: (.User | split(":") | {uid: (.[0] | tonumber), gid: (.[1] | tonumber)}),
      args: (.Entrypoint + $ARGS.positional),
      env: (.Env + ["METRICS_ADDRESS=127.0.0.1", "METRICS_PORT=" + $port]),
      noNewPrivileges: true,
      capabilities: {bounding: [], effective: [], permitted: [], inheritable: [], ambient: []}
    },
    mounts: [
      {destination: "/proc", type: "proc", source: "proc"},
      {destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "mode=755", "size=64k", "ro"]}
    ],
    linux: {namespaces: [{type: "pid"}, {type: "mount"}, {type: "ipc"}, {type: "uts"}]}
  }' --arg port "$port" "$work/image.json" --args "$@" >"$work/bundle/config.json"
}

# Runs the image's health check in the running container.
healthcheck() {
  local -a command
  mapfile -t command < <(inspect '.Docker.config.Healthcheck.Test[1:][]')
  runtime exec --env "METRICS_ADDRESS=${1:-127.0.0.1}" --env "METRICS_PORT=${2:-$port}" "$IMAGE" "${command[@]}"
}

has_telemetry() {
  curl --silent --fail --max-time 5 "http://127.0.0.1:$port/metrics" >"$work/metrics.txt" && grep -q '^starlink_online{' "$work/metrics.txt"
}

run_image() {
  local container rootfs pid tries code
  container=$(builder from "localhost/$IMAGE")
  rootfs=$(builder mount "$container")
  port=$(free_port)

  # Without settings it must name the missing ones and exit with 2.
  make_bundle "$rootfs"
  code=0
  log=$work/unset.log
  runtime run --bundle "$work/bundle" "$IMAGE" >"$log" 2>&1 || code=$?
  expect "the exit code without settings" "$code" 2
  grep -q CLIENT_ID "$log" || fail "without settings, the image does not name the missing ones"

  make_bundle "$rootfs" demo
  log=$work/demo.log
  runtime run --bundle "$work/bundle" "$IMAGE" >"$log" 2>&1 &
  running=$!
  for ((tries = 0; ; tries++)); do
    kill -0 "$running" 2>/dev/null || fail "the demo ended"
    healthcheck >"$work/healthcheck.log" 2>&1 && break
    ((tries < 300)) || fail "the health check does not pass"
    sleep 0.2
  done
  if healthcheck 127.0.0.1 "$(free_port)" >"$work/healthcheck.log" 2>&1; then
    fail "the health check passes where nothing listens"
  fi
  for ((tries = 0; ; tries++)); do
    has_telemetry && break
    ((tries < 300)) || fail "the demo shows no telemetry"
    sleep 0.2
  done
  grep -qF "revision=\"$revision\"" "$work/metrics.txt" || fail "starlink_exporter_build_info does not name the revision $revision"

  # The actual properties of the process, from the kernel.
  pid=$(runtime state "$IMAGE" | jq .pid)
  expect "the process's user" "$(awk '$1 == "Uid:" { print $2, $3 }' "/proc/$pid/status")" "65532 65532"
  expect "the process's group" "$(awk '$1 == "Gid:" { print $2, $3 }' "/proc/$pid/status")" "65532 65532"
  expect "the process's capabilities" "$(awk '$1 == "CapEff:" || $1 == "CapBnd:" { print $2 }' "/proc/$pid/status" | sort -u)" 0000000000000000
  awk '$5 == "/" { last = $6 } END { exit last !~ /^ro(,|$)/ }' "/proc/$pid/mountinfo" || fail "the root file system is writable"

  kill -TERM "$pid"
  code=0
  wait "$running" || code=$?
  running=
  expect "the exit code after SIGTERM" "$code" 0
  echo "ran: $(grep -vc '^#' "$work/metrics.txt") samples as user 65532, on a read-only root file system, without capabilities"
}

# Uncompressed sizes on disk, with a program that is larger than the shipped one.
report_size() {
  local whole base
  whole=$(builder images --json "localhost/$IMAGE" | jq -r '.[0].size')
  base=$(builder images --json localhost/runtime | jq -r '.[0].size')
  echo "size: $whole, of which the base has $base"
}

if ((EUID != 0)); then
  echo "failed: building and running an image without an engine needs root" >&2
  exit 1
fi
if ! install_programs buildah debootstrap runc curl jq -- buildah debootstrap runc curl jq; then
  [[ ${CI:-} != true ]] || fail "buildah, debootstrap and runc cannot be installed here"
  echo "skipped: buildah, debootstrap and runc cannot be installed here"
  exit 0
fi

version=$(manifest version)
revision=$(git rev-parse --short=12 HEAD)
created=$(date --utc +%Y-%m-%dT%H:%M:%SZ)
readonly version revision created

make_build_image
echo "created the build image, after $SECONDS s"
make_runtime_image
echo "created the runtime image, after $SECONDS s"
build_image
echo "built, after $SECONDS s"
check_configuration
run_image
report_size
