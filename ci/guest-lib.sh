# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# What the scripts that boot and drive a guest have in common. Sourced, not run.
#
# Environment, beside what lib.sh reads:
#   KERNEL_IMAGE  the kernel to boot (default build/bzImage)
#   DEBIAN_MIRROR, DEBIAN_KEYRING
#                 a Debian mirror and the keys that sign it, for machines whose
#                 own package manager is not set up for Debian

# shellcheck source=ci/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# shellcheck disable=SC2034 # used by the scripts that source this file
kernel_image=${KERNEL_IMAGE:-$build/bzImage}

# The machine's own Debian mirror and its keyring, as "URI KEYRING", read from
# apt's source lists (both formats) and changed nowhere. Security and third
# party repositories are passed over: a mirror is an entry for a Debian suite
# that offers the component "main".
debian_mirror() {
	local keyring=${DEBIAN_KEYRING:-/usr/share/keyrings/debian-archive-keyring.gpg}
	local found

	if [ -n "${DEBIAN_MIRROR:-}" ]; then
		printf '%s %s\n' "$DEBIAN_MIRROR" "$keyring"
		return
	fi
	local suites='^(bullseye|bookworm|trixie|forky|duke|sid|unstable|testing|stable|oldstable)$'
	local files=()
	local f
	for f in /etc/apt/sources.list.d/*.sources; do
		[ -e "$f" ] && files+=("$f")
	done
	found=$([ ${#files[@]} -eq 0 ] || awk -v suites="$suites" '
		function flush(	i, n, s, ok) {
			n = split(v["suites"], s, /[ \t]+/)
			for (i = 1; i <= n; i++)
				if (s[i] ~ suites)
					ok = 1
			split(v["uris"], u, /[ \t]+/)
			if (ok && v["enabled"] != "no" && v["types"] ~ /deb/ &&
			    (" " v["components"] " ") ~ / main /)
				print u[1], v["signed-by"]
			delete v
			key = ""
		}
		FNR == 1 && NR > 1 { flush() }
		/^#/ { next }
		/^[ \t]*$/ { flush(); next }
		/^[ \t]/ { v[key] = v[key] " " $0; next }
		{
			key = tolower(substr($0, 1, index($0, ":") - 1))
			v[key] = substr($0, index($0, ":") + 1)
			gsub(/^[ \t]+|[ \t]+$/, "", v[key])
		}
		END { flush() }' "${files[@]}" | sed -n 1p)
	if [ -z "$found" ]; then
		files=()
		for f in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
			[ -e "$f" ] && files+=("$f")
		done
		found=$([ ${#files[@]} -eq 0 ] || awk -v suites="$suites" '
			$1 == "deb" {
				line = $0
				key = ""
				if (match(line, /\[[^]]*\]/)) {
					opt = substr(line, RSTART + 1, RLENGTH - 2)
					if (match(opt, /signed-by=[^ ]+/))
						key = substr(opt, RSTART + 10, RLENGTH - 10)
					sub(/\[[^]]*\]/, "", line)
				}
				n = split(line, w, /[ \t]+/)
				if (n >= 4 && w[3] ~ suites && (line " ") ~ / main /)
					print w[2], key
			}' "${files[@]}" | sed -n 1p)
	fi
	[ -n "$found" ] ||
		die "no Debian mirror in this machine's apt sources: set DEBIAN_MIRROR (and DEBIAN_KEYRING)"
	# A Signed-By that is an inline key or empty: the distribution's keyring.
	case "${found#* }" in
	/*) printf '%s\n' "$found" ;;
	*) printf '%s %s\n' "${found%% *}" "$keyring" ;;
	esac
}

# A private apt in directory $1 that knows the suite $2 of the machine's Debian
# mirror, sources and packages, and nothing else. Prints the options that make
# apt-get and apt-cache use it.
private_apt() {
	local dir=$1 suite=$2 mirror uri keyring

	mirror=$(debian_mirror)
	uri=${mirror%% *} keyring=${mirror#* }
	mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial" "$dir/sources.d"
	: >"$dir/status"
	printf 'Types: deb deb-src\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n' \
		"$uri" "$suite" "$keyring" >"$dir/sources.d/debian.sources"
	printf '%s\n' \
		-o Dir::Etc::sourcelist=/dev/null \
		-o "Dir::Etc::sourceparts=$dir/sources.d" \
		-o "Dir::State::Lists=$dir/lists" \
		-o "Dir::State::status=$dir/status" \
		-o "Dir::Cache=$dir/cache" \
		-o APT::Sandbox::User=root \
		-o Acquire::Languages=none
}

# Hash of the given files' content, short; the same whatever checkout they are in.
hash_of() {
	cat "$@" | sha256sum | cut -c1-16
}
