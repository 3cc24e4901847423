-- The Singapore company register, as ACRA publishes it, and how far its reading has come.

CREATE TABLE staging_acra_companies (
    uen text PRIMARY KEY,
    issuance_agency_id text,
    entity_name text NOT NULL,
    entity_type_description text,
    business_constitution_description text,
    company_type_description text,
    paf_constitution_description text,
    entity_status_description text,
    registration_incorporation_date text,
    uen_issue_date text,
    address_type text,
    block text,
    street_name text,
    level_no text,
    unit_no text,
    building_name text,
    postal_code text,
    other_address_line1 text,
    other_address_line2 text,
    account_due_date text,
    annual_return_date text,
    primary_ssic_code integer,
    primary_ssic_description text,
    primary_user_described_activity text,
    secondary_ssic_code text,
    secondary_ssic_description text,
    secondary_user_described_activity text,
    no_of_officers integer,
    former_entity_name1 text,
    former_entity_name2 text,
    former_entity_name3 text,
    former_entity_name4 text,
    former_entity_name5 text,
    former_entity_name6 text,
    former_entity_name7 text,
    former_entity_name8 text,
    former_entity_name9 text,
    former_entity_name10 text,
    former_entity_name11 text,
    former_entity_name12 text,
    former_entity_name13 text,
    former_entity_name14 text,
    former_entity_name15 text,
    uen_of_audit_firm1 text,
    uen_of_audit_firm2 text,
    uen_of_audit_firm3 text,
    uen_of_audit_firm4 text,
    uen_of_audit_firm5 text,
    name_of_audit_firm1 text,
    name_of_audit_firm2 text,
    name_of_audit_firm3 text,
    name_of_audit_firm4 text,
    name_of_audit_firm5 text,
    -- When this row was last new or different, and where it came from.
    ingested_at timestamptz NOT NULL DEFAULT now(),
    source text NOT NULL
);
CREATE INDEX staging_acra_companies_changed
    ON staging_acra_companies (ingested_at, uen);

-- One row for each dataset: where the next reading goes on.
CREATE TABLE acra_ingest (
    dataset text PRIMARY KEY,
    marker jsonb NOT NULL DEFAULT '{}',
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE acra_runs (
    run_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    reason text NOT NULL,
    status text NOT NULL DEFAULT 'queued'
        CHECK (status IN ('queued', 'running', 'done', 'failed')),
    counts jsonb NOT NULL DEFAULT '{}',
    error text,
    queued_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    -- The last sign of life of a run that is under way.
    beat_at timestamptz,
    ended_at timestamptz
);
-- One waits at most, one runs at most.
CREATE UNIQUE INDEX acra_runs_one_each ON acra_runs (status)
    WHERE status IN ('queued', 'running');

-- Signatures of webhooks seen: none counts twice.
CREATE TABLE acra_signature (
    hash bytea PRIMARY KEY,
    expires_at timestamptz NOT NULL
);

-- Names that are the same but for spelling have the same key; '' where nothing is left.
-- The second word is the legal form, in one spelling. Points, commas, parentheses,
-- apostrophes, dashes and spaces tell no names apart, except between two digits ("1-1" is
-- not "11"); every other sign does, and "and" is "&". All is said letter by letter and
-- done as in "C": no locale changes it.
CREATE FUNCTION company_name_key(name text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT AS $$
    SELECT regexp_replace(
        regexp_replace(
            regexp_replace(
                replace(
                    translate(
                        lower(name COLLATE "C"),
                        'ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖØÙÚÛÜÝÞ.,()''-`'
                        || E'\t\n\r\u00a0\u2010\u2011\u2012\u2013\u2014'
                        || E'\u2015\u2018\u2019\u2212',
                        'àáâãäåæçèéêëìíîïðñòóôõöøùúûüýþ' || repeat(' ', 20)),
                    ' and ', '&'),
                '([0-9]) +(?=[0-9])', '\1-', 'g'),
            ' +(private +limited|pte +ltd|pte +limited|private +ltd|pvt +ltd) *$',
            ' pteltd'),
        ' +(?!pteltd$)', '', 'g')
$$;
CREATE INDEX companies_by_name_key ON companies (company_name_key(name));

GRANT SELECT, INSERT, DELETE ON acra_signature TO bff_app;
GRANT SELECT, DELETE ON acra_signature TO bff_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON staging_acra_companies, acra_ingest TO bff_worker;
GRANT SELECT, INSERT, UPDATE ON acra_runs TO bff_worker;
GRANT SELECT, INSERT ON acra_runs TO bff_app;
GRANT INSERT, UPDATE ON companies TO bff_worker;
GRANT USAGE ON SEQUENCE companies_company_id_seq TO bff_worker;
