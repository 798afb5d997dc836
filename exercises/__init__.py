"""Exercises: read exercises/README.md first."""
