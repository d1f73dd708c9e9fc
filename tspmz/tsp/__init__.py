"""The problem: instances, symmetries, environment, tours, reference lengths, pictures."""
