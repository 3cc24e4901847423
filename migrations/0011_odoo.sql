-- Tenants' Odoo: where it is, what opens it, and what is asked of it.
--
-- What opens a database is sealed, and the serving role has no grant on it: routes ask
-- the worker for a task. No cascade from tenants: a database never loses its owner's row.

-- The founder was admin by a token's claim, which the worker cannot look at again.
ALTER TABLE onboarding ADD COLUMN founder_by_claim boolean NOT NULL DEFAULT false;

CREATE TABLE odoo_templates (
    name text PRIMARY KEY,
    series text NOT NULL,
    -- What it was made with, as a digest (`odoo.preparing.recipe_of`).
    recipe text NOT NULL DEFAULT '',
    sealed bytea NOT NULL DEFAULT '',
    -- Finished: what is being built opens nobody's copies yet.
    usable boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Copies made in advance, to be renamed for whoever comes next.
CREATE TABLE odoo_warm (
    name text PRIMARY KEY,
    template text NOT NULL REFERENCES odoo_templates,
    state text NOT NULL DEFAULT 'making'
        CHECK (state IN ('making', 'ready', 'claimed', 'dropping')),
    -- For whom it is being renamed.
    tenant_id bigint REFERENCES tenants ON DELETE SET NULL,
    -- Who makes it, one at a time, as with a tenant's own.
    fence bigint NOT NULL DEFAULT 0,
    held_until timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE odoo_connections (
    tenant_id bigint PRIMARY KEY REFERENCES tenants,
    server_url text NOT NULL,
    series text NOT NULL DEFAULT '',
    db_name text NOT NULL,
    base_url text NOT NULL,
    -- Whose copy it is; empty where it was made from nothing.
    template text NOT NULL DEFAULT '',
    -- The identity provider's client for it, which keeps the secret.
    sso_client_id text NOT NULL DEFAULT '',
    sealed bytea NOT NULL DEFAULT '',
    key_expires_at timestamptz,
    -- The database is there and ours; false until phase creating_odoo is done.
    made boolean NOT NULL DEFAULT false,
    -- False while the tenant is suspended.
    active boolean NOT NULL DEFAULT true,
    -- What the last look at it said; NULL before one.
    checked_at timestamptz,
    problem text,
    -- Who works on the database, one at a time: raised by each; older ones write nothing.
    fence bigint NOT NULL DEFAULT 0,
    held_until timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (server_url, db_name)
);
CREATE INDEX odoo_connections_expiring ON odoo_connections (key_expires_at)
    WHERE made AND active;

-- What a tenant asks of its Odoo: the last of each kind.
CREATE TABLE odoo_tasks (
    tenant_id bigint NOT NULL REFERENCES tenants ON DELETE CASCADE,
    kind text NOT NULL CHECK (kind IN
        ('verify', 'rotate', 'repair', 'sync', 'suspend', 'resume')),
    -- Counts the times it was asked for; a worker that is behind writes nothing.
    run bigint NOT NULL DEFAULT 1,
    state text NOT NULL DEFAULT 'queued'
        CHECK (state IN ('queued', 'running', 'done', 'failed')),
    request jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(request) = 'object'),
    result jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(result) = 'object'),
    -- For programs, and a sentence for people; both empty but after a failure.
    code text NOT NULL DEFAULT '',
    problem text NOT NULL DEFAULT '',
    -- iss + " " + sub of who asked; empty for a schedule.
    asked_by text NOT NULL DEFAULT '',
    asked_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz,
    PRIMARY KEY (tenant_id, kind)
);
CREATE INDEX odoo_tasks_open ON odoo_tasks (asked_at)
    WHERE state IN ('queued', 'running');

DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['odoo_connections', 'odoo_tasks'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format($policy$
            CREATE POLICY app_by_tenant ON %I TO bff_app
            USING (tenant_id = (SELECT nullif(current_setting('request.tenant_id', true), '')::bigint))
            WITH CHECK (tenant_id = (SELECT nullif(current_setting('request.tenant_id', true), '')::bigint))
            $policy$, name);
        EXECUTE format('CREATE POLICY worker_all ON %I TO bff_worker USING (true) WITH CHECK (true)', name);
    END LOOP;
END
$$;
-- What people ask of their Odoo begins at the beginning: the serving role neither says
-- how far a task is or what came of it, nor lets anybody in or out.
ALTER POLICY app_by_tenant ON odoo_tasks
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('request.tenant_id', true), '')::bigint)
        AND state = 'queued' AND result = '{}' AND code = '' AND problem = ''
        AND kind NOT IN ('suspend', 'resume'));
-- A warm copy is nobody's until it is claimed, and the worker's alone all the same.
ALTER TABLE odoo_warm ENABLE ROW LEVEL SECURITY;
ALTER TABLE odoo_warm FORCE ROW LEVEL SECURITY;
CREATE POLICY worker_all ON odoo_warm TO bff_worker USING (true) WITH CHECK (true);

-- Leads go into the tenant's own Odoo: the worker reads one tenant's at a time.
CREATE POLICY worker_by_tenant ON lead_scores FOR SELECT TO bff_worker
    USING (tenant_id = (SELECT nullif(current_setting('request.tenant_id', true), '')::bigint));

GRANT SELECT (tenant_id, server_url, series, db_name, base_url, template, sso_client_id,
              key_expires_at, made, active, checked_at, problem, created_at)
    ON odoo_connections TO bff_app;
GRANT SELECT, INSERT, UPDATE ON odoo_tasks TO bff_app, bff_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON odoo_connections, odoo_templates, odoo_warm
    TO bff_worker;
GRANT SELECT ON lead_scores, contacts TO bff_worker;

-- Operators' commands, as the worker: a tenant is founded by an invitation, suspended
-- with its sessions, and deleted once its database is gone.
GRANT INSERT ON tenant_invites, ended_session TO bff_worker;
GRANT UPDATE (ended_at, end_reason) ON auth_session TO bff_worker;
GRANT DELETE ON tenants TO bff_worker;
