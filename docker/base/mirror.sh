# shellcheck shell=bash
# Sourced by ensure-engine.sh and build.sh.

# debian_mirror: the address that this machine takes its own Debian packages from; empty where there is none.
debian_mirror() {
  # shellcheck disable=SC2016  # apt's own placeholders
  apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' 'Created-By: Packages' |
    awk '$1 == "Debian" && $2 == "Debian" {print $3; exit}'
}
