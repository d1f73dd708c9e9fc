"""Networks: representation, dynamics and prediction over an instance that is encoded once."""
