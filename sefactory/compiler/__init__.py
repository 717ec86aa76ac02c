"""Between the plain tree and what runs: a graph of operations, rules that rewrite it, and the steps that run it."""
