"""What spark-submit runs: one thin file a job."""
