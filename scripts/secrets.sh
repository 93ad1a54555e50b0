# One file per secret, from the environment or .env, for the `secrets` of docker-compose.yml; and one per variable of
# project/.env, for the project's code. Sourced by up.sh.
# It touches: DAGMA_SECRETS_DIR (.secrets), which only its owner can enter. The files are readable by all, since a
# container's user reads them through a mount, which does not ask for the folder.
# shellcheck shell=bash

SECRET_GROUPS="postgres redis langflow dagster dagma uis gateway"

# secrets_of GROUP: which the containers of a group have. A container that lasts is replaced when one of them has changed.
secrets_of() {
  case $1 in
    postgres) echo DAGSTER_PG_PASSWORD LANGFLOW_PG_PASSWORD DAGMA_PG_PASSWORD DAGMA_PG_OWNER_PASSWORD TABLES_PG_PASSWORD ;;
    redis) echo REDIS_PASSWORD ;;
    langflow) echo LANGFLOW_PG_PASSWORD LANGFLOW_SUPERUSER_PASSWORD LANGFLOW_API_KEY LANGFLOW_SECRET_KEY LLM_API_KEY ;;
    # The webserver and the daemon.
    dagster) echo DAGSTER_PG_PASSWORD CELERY_BROKER_URL CELERY_RESULT_BACKEND ;;
    # Of docker-compose.gateway.yml: what the gateway proves itself by to both UIs, and what it has itself.
    uis) echo DAGMA_GATEWAY_SECRET LANGFLOW_GATEWAY_SECRET ;;
    gateway)
      secrets_of uis
      echo GATEWAY_SESSION_SECRET GATEWAY_OIDC_CLIENT_SECRET GATEWAY_USERS
      ;;
    # The code server and the workers.
    dagma)
      secrets_of dagster
      echo DAGMA_LEDGER_URL DAGMA_TABLES_URL LANGFLOW_API_KEY LANGFLOW_BEARER_TOKEN LANGFLOW_OAUTH_CLIENT_SECRET LANGFLOW_BASIC_PASSWORD LANGFLOW_HEADERS
      ;;
  esac
}

# One-shots are in no group: they start at each `make up` anyway. One of them reads a secret that no other has.
all_secrets() {
  local group
  {
    for group in $SECRET_GROUPS; do secrets_of "$group"; done
    echo DAGMA_LEDGER_OWNER_URL
  } | tr ' ' '\n' | sort -u
}

# secret NAME: its value; for an address, with the hosts that docker-compose.yml's services have.
secret() {
  local value
  case $1 in
    CELERY_BROKER_URL) value=$(dotenv REDIS_PASSWORD) && printf 'redis://:%s@redis:6379/0' "$value" ;;
    CELERY_RESULT_BACKEND) value=$(dotenv REDIS_PASSWORD) && printf 'redis://:%s@redis:6379/1' "$value" ;;
    DAGMA_LEDGER_URL) value=$(dotenv DAGMA_PG_PASSWORD) && printf 'postgresql://dagma:%s@postgres-control:5432/dagma' "$value" ;;
    DAGMA_LEDGER_OWNER_URL) value=$(dotenv DAGMA_PG_OWNER_PASSWORD) && printf 'postgresql://dagma_owner:%s@postgres-control:5432/dagma' "$value" ;;
    DAGMA_TABLES_URL)
      # A database of one's own, or the stack's.
      value=$(dotenv DAGMA_TABLES_URL) || return 1
      [ -n "$value" ] || { value=$(dotenv TABLES_PG_PASSWORD) && value="postgresql://tables:$value@postgres-control:5432/tables"; } || return 1
      printf '%s' "$value"
      ;;
    LANGFLOW_GATEWAY_SECRET) value=$(derived langflow) && printf '%s' "$value" ;;
    GATEWAY_SESSION_SECRET) value=$(derived sessions) && printf '%s' "$value" ;;
    GATEWAY_USERS) value=$(users_of_gateway) && printf '%s' "$value" ;;
    *) dotenv "$1" ;;
  esac
}

# derived PURPOSE: a secret of its own, which tells nothing of DAGMA_GATEWAY_SECRET. Empty where that is.
derived() {
  local value
  value=$(dotenv DAGMA_GATEWAY_SECRET) || return 1
  [ -z "$value" ] || printf '%s %s' "$1" "$value" | digest | cut -c 1-64
}

# Before the first user there is no file.
users_of_gateway() {
  local file
  file=$(setting GATEWAY_USERS_FILE gateway-users) || return 1
  [ ! -f "$file" ] || cat "$file"
}

# No file is replaced before every value is known to be right. `|| exit 1`, here and below: a function that is called in a
# condition or in $(...) goes on after a failure, and a value that can't be read would become an empty one.
write_secrets() {
  local folder group name value changed=" "
  check_project_env_file
  folder=$(setting DAGMA_SECRETS_DIR .secrets)
  # Another folder of the checkout would not be ignored by git; ~ would be one of that name.
  case $folder in
    .secrets | /*) ;;
    *) die "DAGMA_SECRETS_DIR is \"$folder\"" "set it to .secrets, or to a path that begins with /" ;;
  esac
  mkdir -p "$folder/revisions"
  chmod 700 "$folder"
  rm -f "$folder"/*.new  # of a time that stopped
  for name in $(all_secrets); do
    value=$(secret "$name") || exit 1
    if [ -f "$folder/$name" ] && [ "$(cat "$folder/$name")" = "$value" ]; then continue; fi
    printf '%s' "$value" >"$folder/$name.new"
    chmod 444 "$folder/$name.new"
    changed="$changed$name "
  done
  copy_certificate "$folder/gateway-tls"
  # Revisions first: where this is interrupted, the next `make up` still finds files that differ.
  for group in $SECRET_GROUPS; do
    for name in $(secrets_of "$group"); do
      case $changed in *" $name "*) revise "$folder/revisions/$group" && break ;; esac
    done
  done
  # By new files: what runs keeps those that it started with, until it is replaced.
  for name in $changed; do mv -f "$folder/$name.new" "$folder/$name"; done
  write_project_secrets "$folder/project"
}

# A line of project/.env that sets a variable.
PROJECT_VARIABLE='^[[:space:]]*\(export[[:space:]]\{1,\}\)\{0,1\}\([A-Za-z_][A-Za-z0-9_]*\)[[:space:]]*='

# The names of the project's own variables, those of project/.env.
project_variables() { [ ! -f project/.env ] || sed -n "s/$PROJECT_VARIABLE.*/\2/p" project/.env | sort -u; }

# Of a line that can't be used the message has the number, and not the text, which may be a secret.
check_project_env_file() {
  local name names line
  [ -f project/.env ] || return 0
  names=$(project_variables)
  for name in $names; do
    case $name in
      CELERY_* | DAGMA_* | DAGSTER_* | LANGFLOW_* | LLM_*) die "project/.env has $name, a setting of the stack" "move it to .env" ;;
      # Their value would be that of the shell that runs this.
      HOME | HOSTNAME | LANG | LOGNAME | PATH | PWD | SHELL | TERM | USER | USERNAME)
        die "project/.env has $name, which every shell or container sets itself" "give it a name of its own, such as SHOP_$name"
        ;;
    esac
    dotenv "$name" project/.env >/dev/null
  done
  line=$(sed -n -e '/^[[:space:]]*$/d' -e '/^[[:space:]]*#/d' -e "/$PROJECT_VARIABLE/d" -e = -e q project/.env)
  [ -z "$line" ] || die "project/.env, line $line: this is not NAME=value, with a name of letters, digits and _" \
    "correct the line, or put # in front of it"
}

# write_project_secrets FOLDER: the project's own variables. What runs the project's code sees the folder, and so a value
# that has changed.
write_project_secrets() {
  local folder=$1 file name value names
  names=$(project_variables)
  mkdir -p "$folder"
  # Containers enter it by a mount, as users of their own; on this machine the folder above keeps others out.
  chmod 755 "$folder"
  for file in "$folder"/*; do
    # shellcheck disable=SC2086  # one argument a name
    [ ! -f "$file" ] || printf '%s\n' $names | grep -qxF "${file##*/}" || rm -f "$file"
  done
  for name in $names; do
    value=$(dotenv "$name" project/.env) || exit 1
    printf '%s' "$value" | put "$folder/$name"
  done
}

# revise FILE: a variable of the group's containers. It is random: a digest of a short key would give it away.
# A container of two groups has two such variables.
revise() { printf 'DAGMA_SECRETS_REVISION_%s=%s\n' "$(tr '[:lower:]' '[:upper:]' <<<"${1##*/}")" "$(random_hex 8)" >"$1"; }

# named_file NAME: the file on this machine that a setting names; empty where it names none.
named_file() {
  local file
  file=$(dotenv "$1") || exit 1
  [ -n "$file" ] || return 0
  [ -f "$file" ] && [ -r "$file" ] || die "$1 is $file, and there is no such file that can be read" "correct $1 in .env"
  printf '%s' "$file"
}

# copy_certificate FOLDER: bring GATEWAY_TLS_CERT and GATEWAY_TLS_KEY to where the gateway reads them.
copy_certificate() {
  local certificate key
  certificate=$(named_file GATEWAY_TLS_CERT) || exit 1
  key=$(named_file GATEWAY_TLS_KEY) || exit 1
  [ -z "$certificate$key" ] || { [ -n "$certificate" ] && [ -n "$key" ]; } ||
    die "of GATEWAY_TLS_CERT and GATEWAY_TLS_KEY one is empty" "set both in .env, or neither"
  [ -z "$certificate" ] || [ -z "$(setting GATEWAY_ACME '')" ] ||
    die "GATEWAY_TLS_CERT and GATEWAY_ACME are both set" "leave one of them empty in .env"
  mkdir -p "$1"
  # In a folder that only its owner can enter, and readable by the container's user.
  chmod 755 "$1"
  if [ -z "$certificate" ]; then
    rm -f "$1/cert.pem" "$1/key.pem"
  else
    put "$1/cert.pem" <"$certificate"
    put "$1/key.pem" <"$key"
  fi
}

# put FILE: write standard input to a file that all can read, by a new one, where it differs.
put() {
  cat >"$1.new"
  chmod 444 "$1.new"
  if cmp -s "$1.new" "$1"; then rm -f "$1.new"; else mv -f "$1.new" "$1"; fi
}
