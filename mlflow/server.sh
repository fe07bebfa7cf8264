#!/bin/sh
# An MLflow server on PostgreSQL and S3-compatible storage. What it needs comes from the environment, an
# example of which is server.env.example; values are never printed.
#
#   set -a; . ./server.env; set +a; sh server.sh
set -eu

for name in MLFLOW_DB_HOST MLFLOW_DB_NAME MLFLOW_DB_USER MLFLOW_DB_PASSWORD MLFLOW_BUCKET \
    AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY; do
    eval "value=\${$name:-}"
    if [ -z "$value" ]; then
        echo "$name: expected a value in the environment, found none: see server.env.example" >&2
        exit 2
    fi
done

# By the environment, not by a flag: a command line can be read by every user of the machine.
export MLFLOW_BACKEND_STORE_URI="postgresql+psycopg2://$MLFLOW_DB_USER:$MLFLOW_DB_PASSWORD@$MLFLOW_DB_HOST:${MLFLOW_DB_PORT:-5432}/$MLFLOW_DB_NAME"

exec mlflow server \
    --artifacts-destination "s3://$MLFLOW_BUCKET/${MLFLOW_PREFIX:-stackmill}" \
    --serve-artifacts \
    --host "${MLFLOW_HOST:-127.0.0.1}" \
    --port "${MLFLOW_PORT:-5000}" \
    --workers "${MLFLOW_WORKERS:-4}"
