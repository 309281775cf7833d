"""Reports: one page, a model card and a table, made from the finished facts of a run."""
