"""What we remember about a browser."""
