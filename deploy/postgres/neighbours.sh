#!/bin/sh
# Roles of those who share staging's server, once, when it is first made. The gateway's own
# roles and database are made by `bff db roles --create-database`.
set -eu
psql --set=ON_ERROR_STOP=1 --username=postgres \
     --set=keycloak="$KEYCLOAK_DB_PASSWORD" --set=odoo="$ODOO_DB_PASSWORD" <<'SQL'
CREATE ROLE keycloak LOGIN PASSWORD :'keycloak';
CREATE DATABASE keycloak OWNER keycloak;
-- Odoo makes a database for each tenant. Its list shows those of its own role alone.
CREATE ROLE odoo LOGIN CREATEDB PASSWORD :'odoo';
SQL
