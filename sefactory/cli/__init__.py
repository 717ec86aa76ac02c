"""The commands `sefactory show`, `bench` and `completion`: command-line arguments come in, tables and files go out.

May import from every other room.
"""
