"""The corpus: pure functions on DataFrames and Arrow batches. Imports no other package of ours."""
