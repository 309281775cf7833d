"""The whole way from a task file to a measured specialist, stage by stage in one run folder."""
