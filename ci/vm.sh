#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A shell in a guest, on this terminal. Its disk is thrown away at the end;
# /scratch is kept from run to run, /run/ckpt is build/guest/vm on the host.
# Leave with "exit"; Ctrl-a x ends QEMU, Ctrl-a c is its monitor.
set -euo pipefail
# shellcheck source=ci/guest-lib.sh
. "$(dirname "$0")/guest-lib.sh"

dir=$build/guest/vm
mkdir -p "$dir/bin"
# Programs that were built are in the guest's path.
for f in "$build"/ckpt "$build"/selftests/bin/*; do
	[ ! -f "$f" ] || cp "$f" "$dir/bin/"
done
cat >"$dir/job" <<'JOB'
#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
export PATH=/run/ckpt/bin:$PATH TERM=${TERM:-vt220} HOME=/root
# The share with the host is where ckpt would keep its sockets.
export CKPT_RUNTIME_DIR=/tmp/jobs
cd /root
cat <<'HELLO'

A guest with the patched kernel. /run/ckpt is shared with the host, /scratch is
kept. "exit" powers it off; Ctrl-a x ends it at once.

HELLO
exec bash -i
JOB
chmod +x "$dir/job"
exec "$top/ci/vm-run.sh" -i -m "${GUEST_MEMORY:-2G}" -d "$build/scratch-vm.ext4" vm "$dir"
