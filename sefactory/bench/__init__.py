"""Takes built modules and returns what they cost: a summary, measured times and memory, and reports of them as files.

Imports from the rooms before it (errors to build) and never from networks or cli.
"""
