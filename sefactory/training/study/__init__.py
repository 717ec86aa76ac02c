"""Many runs that answer one question: a study config comes in, its runs are executed by local processes or Ray.

May import runs/ and what that imports.
"""
