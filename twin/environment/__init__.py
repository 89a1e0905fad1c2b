"""What surrounds a satellite: the Sun, the shadow, and what the Earth sends back."""
