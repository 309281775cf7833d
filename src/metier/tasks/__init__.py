"""What a task and a scenario are, and reading them from YAML."""
