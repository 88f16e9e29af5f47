"""How what ships in `models/` was made; nothing here runs in the service."""
