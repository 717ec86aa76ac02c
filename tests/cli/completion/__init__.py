"""Tests of sefactory/cli/completion: the candidates, and the scripts in real shells."""
