"""The acts of signing in and out."""
