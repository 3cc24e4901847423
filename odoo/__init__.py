"""Talk to one Odoo server, 16 to 19: its databases, and records in them.

The name equals Odoo's own import name. That is harmless: the gateway is never
installed in the environment that Odoo runs in.
"""
