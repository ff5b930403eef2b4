"""The engine: plans, drives, supervises, stops and closes runs."""
