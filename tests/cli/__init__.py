"""Tests of sefactory/cli: the commands, in process."""
