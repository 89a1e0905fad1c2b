"""What the Sun and the Earth do to a satellite."""
