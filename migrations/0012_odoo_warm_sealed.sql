-- What opens a copy that was made in advance: it is taken over before anybody claims it.
ALTER TABLE odoo_warm ADD COLUMN sealed bytea NOT NULL DEFAULT '';
