"""Tests of sefactory/build: building, deferred initialisation, freezing."""
