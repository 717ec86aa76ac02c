"""Tests of sefactory/operators: each operator against a plain formula."""
