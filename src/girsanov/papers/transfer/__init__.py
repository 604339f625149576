"""Papers that lean on `girsanov.transfer` most."""
