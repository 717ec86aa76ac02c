"""Shows what a store says: results and verdicts come in; tables, results.csv, results.json and report.html go out.

May import store, errors, bench (tables, plots) and the rooms of training before it.
"""
