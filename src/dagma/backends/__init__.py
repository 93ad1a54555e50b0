"""What answers calls. Empty, so that the command line can read Langflow's settings without importing Dagster."""
