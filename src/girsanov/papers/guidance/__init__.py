"""Papers that lean on `girsanov.guidance` most."""
