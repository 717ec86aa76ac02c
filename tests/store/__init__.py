"""Tests of sefactory/store."""
