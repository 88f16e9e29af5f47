"""Text and phones as they are searched: what is typed, and where it stands in what was heard."""
