"""The Dagster side: thin assets, checks, jobs and sensors, one folder a stage; whatever a file here defines is loaded."""
