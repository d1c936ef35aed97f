"""Pictures of the processes, drawn with matplotlib."""
