"""The demonstration: a small shop in two repositories, and scripted agents that work on it."""
