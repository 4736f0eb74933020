#!/bin/sh
# Registers the connectors beside this file with Kafka Connect, by their files' names.
set -eu
for file in /connectors/*.json; do
  name=$(basename "$file" .json)
  sed "s|@PASSWORD@|$POSTGRES_PASSWORD|" "$file" |
    curl -sS --fail-with-body --retry 10 --retry-all-errors -X PUT -H 'Content-Type: application/json' --data @- "http://connect:8083/connectors/$name/config"
  echo
done
