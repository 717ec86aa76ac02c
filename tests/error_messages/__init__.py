"""Every error message, literally: one table of inputs with their messages."""
