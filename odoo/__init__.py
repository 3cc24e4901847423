"""Talk to one Odoo server.

The name equals Odoo's own import name. That is harmless: the gateway is never
installed in the environment that Odoo runs in.
"""
