-- What a template was made with, as a digest (`odoo.preparing.recipe_of`); empty where
-- nobody knows: one by a fixed name does not tell.
ALTER TABLE odoo_templates ADD COLUMN recipe text NOT NULL DEFAULT '';
