"""Exports of a tenant's own data."""
