"""How good is a model? Benchmarks: completions of problems, run in a sandbox."""
