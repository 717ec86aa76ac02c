"""Inputs that nobody writes by mistake are rejected with ConfigError, in bounded time and memory."""
