"""Tests of sefactory/compiler: compiled blocks equal their module tree."""
