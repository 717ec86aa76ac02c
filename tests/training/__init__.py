"""Tests of sefactory/training."""
