"""Whose tenant a person is of."""
