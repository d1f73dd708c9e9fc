"""Pictures of tours, searches, evaluations and trainings: matplotlib figures, drawn without a display."""
