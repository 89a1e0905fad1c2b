"""Who asks for what, and how a satellite answers."""
