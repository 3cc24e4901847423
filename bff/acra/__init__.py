"""The Singapore company register: read, checked, kept up to date."""
