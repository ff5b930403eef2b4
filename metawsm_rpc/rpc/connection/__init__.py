"""The connection to a client: bytes, messages, errors, and the client's capabilities."""
