# Before version 28, Docker lets the neighbours of a network reach ports that are published on 127.0.0.1: they send packets
# for 127.0.0.1, or for a container's own address, to this machine (moby#45610). Sourced by ensure-engine.sh.
# It touches, where ensure-engine.sh has started such an engine: two rules of iptables, and with systemd LOOPBACK_UNIT,
# which sets them whenever the engine starts.
# shellcheck shell=bash

LOOPBACK_FIXED_IN=28
LOOPBACK_UNIT=/etc/systemd/system/docker.service.d/dagma-loopback-ports.conf

loopback_ports_are_open() {
  [ "$(uname)" = Linux ] && ! version_at_least "$(docker version --format '{{.Server.Version}}')" "$LOOPBACK_FIXED_IN"
}

# Nothing but this machine itself sends to 127.0.0.1. And what comes from outside reaches a container by a published
# port, which is a translated address, or as an answer.
loopback_rules() {
  cat <<'RULES'
-t raw PREROUTING ! -i lo -d 127.0.0.0/8 -j DROP
-t filter DOCKER-USER ! -i br-+ -o br-+ -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP
RULES
}

announce_loopback_rules() {
  log "  firewall    before Docker $LOOPBACK_FIXED_IN two rules, which keep ports on 127.0.0.1 to this machine"
}

# close_loopback_ports: set the rules that are not there yet.
close_loopback_ports() {
  local option table chain rule
  while read -r option table chain rule; do
    # shellcheck disable=SC2086  # several arguments in one variable
    iptables "$option" "$table" -C "$chain" $rule 2>/dev/null || iptables "$option" "$table" -I "$chain" $rule || return 1
  done < <(loopback_rules)
}

# keep_loopback_ports_closed: have systemd set them at each start of the engine.
keep_loopback_ports_closed() {
  local option table chain rule
  mkdir -p "$(dirname "$LOOPBACK_UNIT")"
  {
    echo "# Added by Dagma: ports on 127.0.0.1 are for this machine alone (moby#45610). Not needed from Docker $LOOPBACK_FIXED_IN on."
    echo "[Service]"
    while read -r option table chain rule; do
      echo "ExecStartPost=-/usr/sbin/iptables $option $table -D $chain $rule"
      echo "ExecStartPost=/usr/sbin/iptables $option $table -I $chain $rule"
    done < <(loopback_rules)
  } >"$LOOPBACK_UNIT"
  systemctl daemon-reload
}

# warn_of_loopback_ports: where the engine is somebody else's.
warn_of_loopback_ports() {
  loopback_ports_are_open || return 0
  [ ! -f "$LOOPBACK_UNIT" ] || return 0
  if is_root && iptables -t raw -S PREROUTING 2>/dev/null | grep -q -- '-d 127.0.0.0/8 ! -i lo -j DROP'; then return; fi
  warn "Docker before $LOOPBACK_FIXED_IN lets machines of the same network reach ports published on 127.0.0.1 (moby#45610): update Docker, or see docs/security.md"
}
