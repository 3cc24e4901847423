"""What the identity provider says."""
