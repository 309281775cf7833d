"""What all rooms stand on: records, errors, storage, the run folder, progress, URLs."""
