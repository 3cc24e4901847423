-- What people ask of their Odoo begins at the beginning: the serving role neither says
-- how far a task is or what came of it, nor lets anybody in or out.
DROP POLICY app_by_tenant ON odoo_tasks;
CREATE POLICY app_by_tenant ON odoo_tasks TO bff_app
    USING (tenant_id = (SELECT nullif(current_setting('request.tenant_id', true), '')::bigint))
    WITH CHECK (tenant_id = (SELECT nullif(current_setting('request.tenant_id', true), '')::bigint)
        AND state = 'queued' AND result = '{}' AND code = '' AND problem = ''
        AND kind NOT IN ('suspend', 'resume'));
