"""Tests of sefactory/config: loading, overrides, expressions, syntax."""
