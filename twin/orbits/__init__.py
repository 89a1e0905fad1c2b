"""Where satellites are: each orbit is a function of time alone."""
