"""The description of our routes in OpenAPI 3.1, written from what the code says."""
