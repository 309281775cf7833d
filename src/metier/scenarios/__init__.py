"""Ready scenarios: folders of task files and a mixture."""
