"""Real inference, measured with a vLLM server. The measuring itself comes with a later piece."""
