# SPDX-License-Identifier: MIT
# A private apt-get, for other scripts: lists and a cache of its own, so that the system's stay as they
# are. Nothing is installed with it.
#
#   . tests/apt.sh
#   private_apt DIRECTORY ARCHITECTURE... < LINES      sets APT_CONFIG, and writes into the directory
#
# Each line of the input is an archive of Debian (debian, debian-security) and a suite.

# The address of an archive, from the same server as the system's.
archive() {
  site=$(apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | grep "/$1/\$" | head -n 1)
  echo "${site:-http://deb.debian.org/$1/}"
}

private_apt() {
  apt=$1
  shift
  mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial"
  : >"$apt/state/status"
  while read -r archive suite; do
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(archive "$archive") $suite main"
  done | sort -u >"$apt/sources.list"
  cat >"$apt/apt.conf" <<CONF
Dir::State "$apt/state";
Dir::State::status "$apt/state/status";
Dir::Cache "$apt/cache";
Dir::Etc::SourceList "$apt/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
APT::Architecture "$1";
APT::Architectures {$(printf '"%s"; ' "$@")};
APT::Sandbox::User "root";
Acquire::Languages "none";
CONF
  export APT_CONFIG="$apt/apt.conf"
}
