-- Invitations; a tenant's admin sees the sessions that act for the tenant; the worker
-- tidies up what is over and seals anew what an old key sealed.

CREATE TABLE tenant_invites (
    tenant_id bigint NOT NULL REFERENCES tenants ON DELETE CASCADE,
    invite_id uuid NOT NULL DEFAULT gen_random_uuid(),
    -- SHA-256 of the token, which is shown once and kept nowhere.
    token_hash bytea NOT NULL UNIQUE CHECK (length(token_hash) = 32),
    -- Lower-cased; empty for a link that anybody may redeem.
    email text NOT NULL DEFAULT '',
    roles text[] NOT NULL DEFAULT '{viewer}'
        CHECK (roles <@ ARRAY['viewer', 'ops', 'admin']),
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    redeemed_at timestamptz,
    redeemed_by text,
    PRIMARY KEY (tenant_id, invite_id)
);

ALTER TABLE tenant_invites ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenant_invites FORCE ROW LEVEL SECURITY;
CREATE POLICY app_by_tenant ON tenant_invites TO bff_app
    USING (tenant_id = (SELECT nullif(current_setting('request.tenant_id', true), '')::bigint))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('request.tenant_id', true), '')::bigint));
-- Whoever holds the token may learn which tenant it opens; nobody can list by it.
CREATE POLICY app_by_token ON tenant_invites FOR SELECT TO bff_app
    USING (token_hash = (SELECT decode(nullif(current_setting('request.invite', true), ''), 'hex')));
CREATE POLICY worker_all ON tenant_invites TO bff_worker USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE ON tenant_invites TO bff_app;
GRANT SELECT, DELETE ON tenant_invites TO bff_worker;

-- Set by one act alone, an admin's ending of a member's sessions: serving a tenant does
-- not show who is signed in.
CREATE POLICY app_by_admin ON auth_session FOR SELECT TO bff_app
    USING (tenant_id = (SELECT nullif(current_setting('request.sessions_of_tenant', true), '')::bigint));
CREATE POLICY app_end_by_admin ON auth_session FOR UPDATE TO bff_app
    USING (tenant_id = (SELECT nullif(current_setting('request.sessions_of_tenant', true), '')::bigint))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('request.sessions_of_tenant', true), '')::bigint));
CREATE INDEX auth_session_by_tenant ON auth_session (tenant_id, sub) WHERE ended_at IS NULL;

CREATE POLICY worker_all ON auth_session TO bff_worker USING (true) WITH CHECK (true);
GRANT SELECT, DELETE ON auth_session TO bff_worker;
GRANT UPDATE (successor) ON auth_session TO bff_worker;
GRANT SELECT, DELETE ON ended_session, attempts, sign_in_failure, logout_token TO bff_worker;
