-- What providers tell of a notification after they have accepted it. A receipt updates the row
-- in place (HOT): neither column is in an index. A notification is found by its own id, which
-- the provider sends back, so there is no index on the providers' ids either: docs/adr/0017.
ALTER TABLE notification
  ADD COLUMN receipt     jsonb,
  ADD COLUMN receipt_ids uuid[];
