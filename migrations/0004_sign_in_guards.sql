-- What guards sign-in and logout: failed passwords, and logout tokens already used.

CREATE TABLE sign_in_failure (
    try uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    -- Hashes: of account and network together, of the account, of the network.
    pair bytea NOT NULL,
    account bytea NOT NULL,
    network bytea NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX sign_in_failure_by_pair ON sign_in_failure (pair, at);
CREATE INDEX sign_in_failure_by_account ON sign_in_failure (account, at);
CREATE INDEX sign_in_failure_by_network ON sign_in_failure (network, at);

-- A logout token counts once (OpenID Connect Back-Channel Logout 1.0, section 2.6).
CREATE TABLE logout_token (
    jti text PRIMARY KEY,
    expires_at timestamptz NOT NULL
);
CREATE INDEX logout_token_expired ON logout_token (expires_at);

GRANT SELECT, INSERT, DELETE ON sign_in_failure, logout_token TO bff_app;
