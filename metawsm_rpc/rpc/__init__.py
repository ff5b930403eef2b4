"""The server: JSON-RPC on stdio, in the language server's style."""
