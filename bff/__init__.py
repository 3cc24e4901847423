"""The gateway: everything the browser talks to."""
