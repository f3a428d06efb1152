ALTER TABLE notification DROP COLUMN receipt_ids, DROP COLUMN receipt;
