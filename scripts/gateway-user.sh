#!/usr/bin/env bash
# Add somebody to the gateway's users file, or give them a new password.
#
# Usage: make gateway-user NAME=anna        asks for the password
#        make gateway-user NAME=anna <file  reads it from the file's first line
# It touches: the file that GATEWAY_USERS_FILE names. Afterwards, with GATEWAY=1 in .env: make up. To remove somebody, delete their line.
set -Eeuo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

name=${NAME:-}
[[ $name =~ ^[A-Za-z0-9._@+-]{1,64}$ ]] || die "\"$name\" is no user's name" "make gateway-user NAME=anna: letters, digits and ._@+-"
file=$(setting GATEWAY_USERS_FILE gateway-users)
image=dagma/gateway:$(setting DAGMA_TAG local)
if ! docker image inspect "$image" >/dev/null 2>&1; then
  die "there is no image $image yet, whose htpasswd makes the hash" "set GATEWAY=1 in .env, then make up, which builds it and says that nobody can log in"
fi

if [ -t 0 ]; then
  IFS= read -rsp "Password of $name: " password
  printf '\n'
  IFS= read -rsp "Once more: " again
  printf '\n'
  [ "$password" = "$again" ] || die "they differ" "run it again"
else
  IFS= read -r password || [ -n "$password" ] || die "there is no password" "write it into standard input"
  password=${password%$'\r'} # of a file of Windows
fi
[ "${#password}" -ge 12 ] || die "the password has fewer than 12 characters" "choose a longer one"
[ "$(printf '%s' "$password" | wc -c)" -le 72 ] || die "the password has more than 72 bytes, of which bcrypt ignores the rest" "choose a shorter one"

line=$(printf '%s\n' "$password" | docker run --rm --interactive --network none --entrypoint htpasswd "$image" -niB -C 12 "$name" | head -n 1)
case $line in "$name:\$2y\$"*) ;; *) die "no hash was made" "docker run --rm --entrypoint htpasswd $image -nB $name" ;; esac
umask 077
touch "$file"
{
  awk -F : -v name="$name" '$1 != name' "$file"
  printf '%s\n' "$line"
} >"$file.new"
mv -f "$file.new" "$file"
log "$name is in $file; now set GATEWAY=1 in .env, unless it is there, then: make up"
