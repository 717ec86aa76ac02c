"""Tests of sefactory/networks: blocks inserted into networks."""
