"""Tests of sefactory/training/data, with small files of the published formats."""
