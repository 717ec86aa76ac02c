"""README.md and docs/ are up to date, and what they print runs as printed."""
