"""Routes about the people of a tenant."""
