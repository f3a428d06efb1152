"""The sandbox provider: speaks the webhook contract, keeps an inbox, fails when told to."""
