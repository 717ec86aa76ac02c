"""Tests of sefactory/bench: costs, measuring, results, plots and reports."""
