"""The Dagster side: thin assets, checks, jobs, sensors and resources, one file a stage."""
