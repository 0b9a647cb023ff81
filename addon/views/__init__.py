"""What registries send, as text for a person: media type and body in, text or None out."""
