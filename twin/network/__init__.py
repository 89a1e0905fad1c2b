"""What satellites say to the ground and to each other."""
