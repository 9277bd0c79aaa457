"""Identity of the people in a recording: speakers by their voices."""
