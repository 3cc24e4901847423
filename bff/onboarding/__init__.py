"""From a first sign-in to a ready tenant."""
