"""The connection to a client: bytes, messages, errors, and what the client says of itself."""
