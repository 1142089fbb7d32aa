"""Every type that reaches disk: frozen, no unknown keys. Memory-only types live beside the code that makes them."""
