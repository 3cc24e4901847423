-- Sessions: what must outlive a cookie. Tokens are in the browser's sealed cookies;
-- this row says alive, generation, successor.

CREATE TABLE auth_session (
    sid uuid PRIMARY KEY,
    iss text NOT NULL,
    sub text NOT NULL,
    user_id text GENERATED ALWAYS AS (iss || ' ' || sub) STORED,
    email text NOT NULL DEFAULT '',
    tenant_id bigint REFERENCES tenants ON DELETE SET NULL,
    -- The tenant was chosen by hand and stays, whatever the claim says.
    tenant_chosen boolean NOT NULL DEFAULT false,
    provider_sid text,
    device text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    ended_at timestamptz,
    end_reason text,
    gen integer NOT NULL DEFAULT 1,
    -- Who is asking the provider for the next generation, and until when we believe it.
    refreshing_by uuid,
    refreshing_until timestamptz,
    -- The next generation's tokens, sealed, for requests that still carry the old ones.
    successor bytea,
    successor_until timestamptz
);
CREATE INDEX auth_session_by_user ON auth_session (user_id) WHERE ended_at IS NULL;
CREATE INDEX auth_session_by_provider ON auth_session (provider_sid) WHERE ended_at IS NULL;
CREATE INDEX auth_session_expired ON auth_session (expires_at);

-- Ended sessions again, without the person: every replica reads them at start.
CREATE TABLE ended_session (
    sid uuid PRIMARY KEY,
    ended_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ended_session_recent ON ended_session (ended_at);

CREATE FUNCTION announce_ended_session() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('session_ended', NEW.sid::text);
    RETURN NULL;
END
$$;
CREATE TRIGGER announce AFTER INSERT ON ended_session
    FOR EACH ROW EXECUTE FUNCTION announce_ended_session();

ALTER TABLE auth_session ENABLE ROW LEVEL SECURITY;
ALTER TABLE auth_session FORCE ROW LEVEL SECURITY;

CREATE POLICY app_own ON auth_session TO bff_app
    USING (user_id = (SELECT nullif(current_setting('request.user_id', true), '')))
    WITH CHECK (user_id = (SELECT nullif(current_setting('request.user_id', true), '')));
-- A provider's logout token may name its session only.
CREATE POLICY app_by_provider ON auth_session FOR SELECT TO bff_app
    USING (provider_sid = (SELECT nullif(current_setting('request.provider_sid', true), '')));

GRANT SELECT, INSERT, UPDATE ON auth_session TO bff_app;
GRANT SELECT, INSERT ON ended_session TO bff_app;
