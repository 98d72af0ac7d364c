"""What of a subtitle is speech, and who says it."""
