"""Tenants' Odoo: whose database is where, what opens it, and what is asked of it."""
