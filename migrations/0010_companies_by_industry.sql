-- A rule names a few industries of very many. On its own: while it is built nobody writes
-- companies, and nothing else need wait with it.
CREATE INDEX companies_by_industry ON companies (lower(industry_norm));
