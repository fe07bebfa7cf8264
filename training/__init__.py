"""The model: imports no `etl` stage and no pyspark (but in the launcher)."""
