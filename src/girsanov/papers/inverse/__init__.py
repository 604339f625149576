"""Papers that lean on `girsanov.inverse` most."""
