-- What was done, by whom: written once, changed by nobody.

CREATE TABLE audit_log (
    audit_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- No foreign key: the log outlives its tenant. NULL before a person has a tenant.
    tenant_id bigint,
    at timestamptz NOT NULL DEFAULT now(),
    action text NOT NULL CHECK (action ~ '^[a-z]+(_[a-z]+)*(\.[a-z]+(_[a-z]+)*)+$'),
    -- iss + " " + sub of a person; empty for the system itself.
    actor text NOT NULL DEFAULT '',
    actor_email text NOT NULL DEFAULT '',
    -- What it was done to: a member's sub, a rule's name, an invitation's id.
    subject text NOT NULL DEFAULT '',
    detail jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(detail) = 'object'),
    address text NOT NULL DEFAULT '',
    request_id text NOT NULL DEFAULT ''
);
CREATE INDEX audit_log_pages ON audit_log (tenant_id, audit_id DESC);
CREATE INDEX audit_log_by_age ON audit_log (at);

ALTER TABLE audit_log ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_log FORCE ROW LEVEL SECURITY;

CREATE POLICY app_by_tenant ON audit_log FOR SELECT TO bff_app
    USING (tenant_id = (SELECT nullif(current_setting('request.tenant_id', true), '')::bigint));
-- Whoever acts for a tenant writes of that tenant; whoever has none, of none.
CREATE POLICY app_adds ON audit_log FOR INSERT TO bff_app
    WITH CHECK (tenant_id IS NOT DISTINCT FROM
        (SELECT nullif(current_setting('request.tenant_id', true), '')::bigint));
CREATE POLICY worker_all ON audit_log TO bff_worker USING (true) WITH CHECK (true);

GRANT SELECT, INSERT ON audit_log TO bff_app;
-- The worker writes of provisioning, and forgets what has been kept long enough.
GRANT SELECT, INSERT, DELETE ON audit_log TO bff_worker;
