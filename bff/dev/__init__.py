"""What `bff dev` needs beside the gateway: loopback only, not in the image."""
