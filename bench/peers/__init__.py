"""The peers' pipelines at their best settings. Each script runs in a virtual environment of its own."""
