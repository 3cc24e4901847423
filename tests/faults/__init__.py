"""What happens when something that the gateway needs goes away."""
