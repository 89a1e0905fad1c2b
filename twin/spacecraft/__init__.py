"""What a satellite is made of."""
